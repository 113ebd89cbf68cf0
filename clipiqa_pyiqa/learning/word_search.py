"""Search for the words that agree best with people."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, PromptError, counted, shown
from ..errors.arguments import SharedOptions, checked
from ..files.names import csv_line
from ..files.writing import check_output, write_text
from ..metric import CLIPIQA, find_device
from ..prompts.pairs import DEFAULT_PAIR, NAMED_PAIRS, PromptPair, parse_prompts
from ..prompts.provenance import in_words
from ..stats.correlation import Estimate, plcc, srocc_of_many, undefined
from .feature_store import FeatureStore, Say
from .words import AS_IS, Words, our_pairs

MIN_GAIN = 1e-3  # a pair joins the ensemble if it raises the SROCC on the images to choose on by this much
FIELDS = (
    *("rank", "positive", "negative", "positive_word", "negative_word", "template", "srocc_chosen_by"),
    *("srocc_held_out", "srocc_low", "srocc_high", "plcc_held_out", "ensemble"),
)
_COLUMNS = 256  # pairs scored or ranked at a time
Array = NDArray[np.float64]


class SearchError(CLIPIQAError):
    """A search that cannot be made."""


@dataclass(frozen=True)
class Candidate:
    """A pair, its words and its template."""

    pair: PromptPair
    words: Words
    template: str


@dataclass(frozen=True)
class Finding:
    """Agreement of the mean score of some pairs, on images to choose on and on held-out images."""

    candidates: tuple[Candidate, ...]
    chosen_by: float
    srocc: Estimate
    plcc: float


@dataclass(frozen=True)
class Findings:
    """Ranked candidates, best first, the paper's pair, and the best ensemble.

    ``unknown`` counts the omitted pairs, whose words the backbone never saw.
    """

    ranked: tuple[Finding, ...]
    paper: Finding
    ensemble: Finding
    chosen_on: int
    held_out: int
    unknown: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str | Path, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write lines of metadata, ``# key: value``, and a CSV line per candidate; never replace an input."""
        check_output(path, overwrite=True, inputs=self.inputs)
        place = {candidate: number for number, candidate in enumerate(self.ensemble.candidates, start=1)}
        lines = [f"# {key}: {' '.join(str(value).split())}\n" for key, value in self.metadata.items()]
        lines.append(csv_line(FIELDS))
        for rank, finding in enumerate(self.ranked, start=1):
            (candidate,), estimate = finding.candidates, finding.srocc
            numbers = (finding.chosen_by, estimate.value, estimate.low, estimate.high, finding.plcc)
            texts = ["" if np.isnan(number) else f"{number:.6f}" for number in numbers]
            words = (candidate.pair.positive, candidate.pair.negative, *candidate.words, candidate.template)
            lines.append(csv_line([rank, *words, *texts, place.get(candidate, "")]))
        write_text(path, "".join(lines))


@checked
def search_prompts(
    scores: ScoreTable | str | Path,
    *,
    words: Sequence[Words] | None = None,
    templates: Sequence[str] | None = None,
    ensemble: int = 5,
    intervals: int = 100,
    bootstrap: int = 1000,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: str | Path | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
    say: Say | None = None,
) -> Findings:
    """Return the prompt pairs that agree best with people's scores.

    The split ``'train'`` chooses pairs; the results are for ``'test'``, or ``'val'`` without ``'test'``.

    Args:
        scores, features, say: As for :func:`clipiqa_pyiqa.train`.
        words: Pairs of words, positive first; default our antonyms. Words unknown to the backbone are left out.
        templates: Texts with ``{}`` for the words; default: fitting texts for our antonyms, ``'{}'`` for your words.
        ensemble: Largest number of pairs in the ensemble.
        intervals: Number of best pairs with a 95 % bootstrap interval.
        bootstrap: Resamples per interval, at most a million.
        metric: The metric; default CLIP-IQA on RN50.
        seed: Seed of resamples, and of splits if the scores have no splits.

    Returns:
        All pairs, ranked, and the best ensemble.

    Raises:
        CLIPIQAError: Scores, images, words or templates cannot be used.

    Example:
        >>> search_prompts("scores.csv", words=[("Crisp photo.", "Hazy photo.")]).save("pairs.csv")  # doctest: +SKIP
    """
    candidates = make_candidates(words, templates)
    table = scores if isinstance(scores, ScoreTable) else find_score_table(scores, seed=seed, needed=("train",))
    split = "test" if table.rows("test") else "val"
    device = find_device(device)
    metric = (CLIPIQA() if metric is None else metric).to(device).eval()
    known = [each for each in candidates if metric.clip.knows(each.pair.positive, each.pair.negative)]
    if candidates and not known:
        raise SearchError(f"{metric.clip.weights.backbone} never saw the words of any pair: use another backbone.")
    store = FeatureStore(metric, features)
    encoded = store.features(table.paths, name="all splits", device=device, workers=workers, say=say)
    findings = search(
        *(metric, encoded[:, 0].to(device), torch.tensor(table.targets), table.rows(split), known),
        ensemble=ensemble,
        intervals=intervals,
        bootstrap=bootstrap,
        seed=seed,
        quiet=say is None,
    )
    best = findings.ensemble.srocc
    metadata = {
        **{"data_set": table.name, "chosen_on": counted(findings.chosen_on, "image")},
        **{"held_out": f"{counted(findings.held_out, 'image')} ({split})"},
        **{"intervals": f"95 %, {bootstrap} resamples"},
        **in_words({key: value for key, value in metric.provenance().items() if key not in ("metric", "scores")}),
        **{"seed": seed, "ensemble_srocc_held_out": f"{best.value:.4f} [{best.low:.4f}, {best.high:.4f}]"},
    }
    inputs = (*(() if isinstance(scores, ScoreTable) else (scores,)), *table.paths)
    return replace(findings, unknown=len(candidates) - len(known), metadata=metadata, inputs=inputs)


def make_candidates(words: Iterable[Words] | None = None, templates: Sequence[str] | None = None) -> list[Candidate]:
    """Return each pair of words in each template, without pairs that CLIP reads alike."""
    combined = our_pairs(templates) if words is None else itertools.product(words, templates or (AS_IS,))
    found: dict[tuple[str, str], Candidate] = {}
    for pair, template in combined:
        if not isinstance(pair, list | tuple):
            raise PromptError(f"words must be pairs, positive first; got {shown(pair)}.")
        (prompt,) = parse_prompts(tuple(pair), template)
        found.setdefault((prompt.positive.lower(), prompt.negative.lower()), Candidate(prompt, pair, template))
    return list(found.values())


def search(
    metric: CLIPIQA,
    features: Tensor,
    targets: Tensor,
    held_out: Sequence[int],
    candidates: Sequence[Candidate],
    *,
    ensemble: int = 5,
    intervals: int = 100,
    bootstrap: int = 1000,
    seed: int = 0,
    quiet: bool = True,
) -> Findings:
    """Return the findings for unit features ``(N, D)`` and scores ``(N,)``; the rows ``held_out`` choose no pair."""
    from tqdm import tqdm

    if not candidates:
        raise SearchError("there are no candidates to search: name a file of pairs, or use our list.")
    is_out = np.zeros(len(targets), dtype=bool)
    is_out[list(held_out)] = True
    opinion = targets.double().cpu().numpy()
    for rows, side in ((~is_out, "to choose on"), (is_out, "held out")):
        if reason := undefined(opinion[rows], opinion[rows]):
            raise SearchError(f"the images {side} cannot be used: {reason}.")
    paper = Candidate(NAMED_PAIRS[DEFAULT_PAIR], ("Good", "Bad"), "{} photo.")
    tried = [paper, *candidates]
    parts = []
    with torch.no_grad(), tqdm(total=len(tried), unit="pair", disable=True if quiet else None) as bar:
        for start in range(0, len(tried), _COLUMNS):
            pairs = [candidate.pair for candidate in tried[start : start + _COLUMNS]]
            parts.append(metric.score(features, prompts=pairs, aggregate=None).cpu().numpy())
            bar.update(len(pairs))
    scores = np.concatenate(parts, axis=1)
    chosen_by = _srocc(scores[~is_out], opinion[~is_out])
    order = [0, *(1 + np.argsort(-_nan_last(chosen_by[1:]), kind="stable"))]  # the paper's pair, then others by rank
    picked, ensemble_srocc = _grow_ensemble(scores[~is_out, 1:], opinion[~is_out], chosen_by[1:], ensemble)
    mean = scores[is_out][:, [1 + index for index in picked]].mean(axis=1)
    best, others = order[: 1 + intervals], order[1 + intervals :]
    *estimates, of_mean = srocc_of_many(
        np.column_stack([scores[is_out][:, best], mean]), opinion[is_out], bootstrap=bootstrap, seed=seed
    )
    estimates += map(Estimate, _srocc(scores[is_out][:, others], opinion[is_out]).tolist())
    first, *ranked = (
        Finding((tried[index],), float(chosen_by[index]), estimate, plcc(scores[is_out, index], opinion[is_out]))
        for index, estimate in zip(order, estimates, strict=True)
    )
    members = tuple(candidates[index] for index in picked)
    chosen = Finding(members, ensemble_srocc, of_mean, plcc(mean, opinion[is_out]))
    return Findings(tuple(ranked), first, chosen, int((~is_out).sum()), int(is_out.sum()))


def as_prompts(candidates: Sequence[Candidate]) -> str:
    pairs = [(candidate.pair.positive, candidate.pair.negative) for candidate in candidates]
    return json.dumps(pairs, ensure_ascii=False)  # a list of lists of two texts, readable as Python, JSON and YAML


def _grow_ensemble(scores: NDArray[np.float32], opinion: Array, alone: Array, most: int) -> tuple[list[int], float]:
    """Return the indices of the ensemble's pairs, and the ensemble's SROCC."""
    picked = [int(np.argmax(_nan_last(alone)))]
    best = float(alone[picked[0]])
    while len(picked) < min(most, scores.shape[1]):
        total = scores[:, picked].sum(axis=1, keepdims=True)
        joined = _nan_last(_srocc(scores, opinion, total))
        joined[picked] = -np.inf
        new = int(np.argmax(joined))
        if not joined[new] >= best + MIN_GAIN:
            break
        picked.append(new)
        best = float(joined[new])
    return picked, best


def _srocc(scores: NDArray[np.float32], opinion: Array, added: NDArray[np.float32] | float = 0.0) -> Array:
    from scipy.stats import rankdata

    def centred(values: NDArray[Any]) -> Array:
        return rankdata(values, axis=0) - (len(values) + 1) / 2

    y = centred(opinion)
    found = np.empty(scores.shape[1])
    for start in range(0, len(found), _COLUMNS):
        x = centred(scores[:, start : start + _COLUMNS] + added)
        with np.errstate(invalid="ignore"):  # a constant column gives NaN
            found[start : start + _COLUMNS] = y @ x / np.sqrt((x * x).sum(axis=0) * (y @ y))
    return found


def _nan_last(values: Array) -> Array:
    return np.where(np.isnan(values), -np.inf, values)
