"""Which words ask best? Candidate prompt pairs on stored features: chosen on some images, reported on others.

A score is two dot products once image and text are encoded, so thousands of pairs cost little more than their texts.
Whoever picks the best of a thousand pairs on the images that he reports on reports luck; so ranks, and the ensemble,
come from the images to choose on, and what is reported comes from images that had no say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import checked
from ..clip.device import find_device
from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, PromptError, counted, shown
from ..files.writing import check_output, replacing
from ..metric import CLIPIQA
from ..prompts.pairs import DEFAULT_PAIR, NAMED_PAIRS, PromptPair, parse_prompts
from ..prompts.provenance import in_words
from ..scoring.rows import csv_line
from ..stats.bootstrap import check_bootstrap
from ..stats.correlation import Estimate, plcc, srocc_of_many
from .feature_store import FeatureStore, Say
from .views import WHOLE
from .words import AS_IS, TEMPLATES, Words, known_words

MIN_GAIN = 1e-3  # of SROCC on the images to choose on, for a pair to join the ensemble
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
    """A pair to try, and how it was made: ``template`` with each of the words in it."""

    pair: PromptPair
    words: Words
    template: str


@dataclass(frozen=True)
class Finding:
    """What a candidate came to.

    Attributes:
        candidate: the pair.
        chosen_by: SROCC on the images to choose on.
        srocc: on the held-out images; with an interval for the best ones.
        plcc: on the held-out images, of the scores as they are.
    """

    candidate: Candidate
    chosen_by: float
    srocc: Estimate
    plcc: float


@dataclass(frozen=True)
class Findings:
    """A search's result.

    Attributes:
        ranked: every candidate, best first, as chosen.
        paper: the paper's pair, "Good photo." against "Bad photo.", on the same images.
        ensemble: pairs whose mean score was chosen, in the order in which they joined; at least one.
        ensemble_chosen_by: SROCC of that mean on the images to choose on.
        ensemble_srocc: on the held-out images, with an interval.
        ensemble_plcc: on the held-out images.
        chosen_on: number of images to choose on.
        held_out: number of images that had no say.
        metadata: what the search was made with: the data set, its splits, which CLIP-IQA, the seed.
        inputs: files that were read, which ``save`` never replaces.
    """

    ranked: tuple[Finding, ...]
    paper: Finding
    ensemble: tuple[Candidate, ...]
    ensemble_chosen_by: float
    ensemble_srocc: Estimate
    ensemble_plcc: float
    chosen_on: int
    held_out: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str | Path, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write a line per candidate as CSV, best first, after ``# key: value`` lines with the metadata.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        check_output(path, overwrite=True, inputs=self.inputs)
        place = {candidate.pair: number for number, candidate in enumerate(self.ensemble, start=1)}
        with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            for key, value in self.metadata.items():
                file.write(f"# {key}: {' '.join(str(value).split())}\n")
            file.write(csv_line(FIELDS))
            for rank, finding in enumerate(self.ranked, start=1):
                pair, estimate = finding.candidate.pair, finding.srocc
                numbers = (finding.chosen_by, estimate.value, estimate.low, estimate.high, finding.plcc)
                texts = ["" if np.isnan(number) else f"{number:.6f}" for number in numbers]
                words = (*finding.candidate.words, finding.candidate.template)
                file.write(csv_line([rank, pair.positive, pair.negative, *words, *texts, place.get(pair, "")]))


@checked
def search_prompts(
    scores: ScoreTable | str | Path,
    *,
    words: Sequence[Words] | None = None,
    templates: Sequence[str] | None = None,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = None,
    features: str | Path | None = None,
    workers: int | None = None,
    seed: int = 123,
    say: Say | None = None,
    **options: Any,
) -> Findings:
    """Find the prompt pairs that agree best with scores that people gave; each image is encoded once, into a store.

    Pairs are chosen on the split ``'train'`` and reported on ``'test'``, or on ``'val'`` if there is no ``'test'``.

    Args:
        scores: images and their scores: a table, a CSV file, or the name of a data set of pyiqa's.
        words: pairs of words, positive first; default our list of antonyms.
        templates: wordings to put the words in; default the paper's three, or, with ``words``, the words as they are.
        metric: whose scores these are; default CLIP-IQA on RN50.
        device: where to encode and to score; None is CUDA where there is one, else the CPU.
        features: folder of the feature store; default ``~/.cache/clipiqa/features``.
        workers: decoding threads; None is one per core, up to eight.
        seed: of the resamples, and of the split where the scores have none.
        say: told, in sentences, how the search goes; then a terminal shows progress bars, too.
        **options: ``ensemble``, ``intervals`` and ``bootstrap`` of :func:`search`.

    Raises:
        CLIPIQAError: a ``ValueError``, for scores, images, words or templates that cannot be used.

    Example:
        >>> search_prompts("scores.csv", words=[("Crisp photo.", "Hazy photo.")]).save("pairs.csv")  # doctest: +SKIP
    """
    from tqdm import tqdm

    bootstrap = check_bootstrap(options.get("bootstrap", 1000))
    candidates = make_candidates(
        known_words() if words is None else words,
        (TEMPLATES if words is None else (AS_IS,)) if templates is None else templates,
    )
    table = scores if isinstance(scores, ScoreTable) else find_score_table(scores, seed=seed, needed=("train",))
    split = "test" if table.rows("test") else "val"
    device = find_device(device)
    metric = (CLIPIQA() if metric is None else metric).to(device).eval()
    if table.skipped and say is not None:
        say(f"left out: {counted(len(table.skipped), 'missing image')}")
    store, views = FeatureStore(metric, features), [(WHOLE,)] * len(table.paths)
    encoded = store.features(table.paths, views, what="all splits", device=device, workers=workers, say=say)
    with tqdm(total=1 + len(candidates), unit="pair", disable=True if say is None else None) as bar:
        given = metric, encoded[:, 0].to(device), torch.tensor(table.targets), table.rows(split), candidates
        findings = search(*given, seed=seed, progress=bar.update, **options)
    best = findings.ensemble_srocc
    metadata = {
        **{"data_set": table.name, "chosen_on": counted(findings.chosen_on, "image")},
        **{"held_out": f"{counted(findings.held_out, 'image')} ({split})"},
        **{"intervals": f"95 %, {bootstrap} resamples"},
        **in_words({key: value for key, value in metric.provenance().items() if key not in ("metric", "scores")}),
        **{"seed": seed, "ensemble_srocc_held_out": f"{best.value:.4f} [{best.low:.4f}, {best.high:.4f}]"},
    }
    read = () if isinstance(scores, ScoreTable) else (scores,)
    return replace(findings, metadata=metadata, inputs=(*read, *table.paths))


def make_candidates(words: Iterable[Words], templates: Sequence[str]) -> list[Candidate]:
    """Each pair of words in each template, once, by what CLIP would read.

    Raises:
        PromptError: a template or a pair that cannot be used.
    """
    if not len(templates):
        raise PromptError("there is no template: pass at least one, such as '{} photo.'.")
    found: dict[tuple[str, str], Candidate] = {}
    for pair in words:
        if not isinstance(pair, list | tuple):
            raise PromptError(f"words come in pairs, positive first, but {shown(pair)} came.")
        for template in templates:
            (read,) = parse_prompts(tuple(pair), template)
            found.setdefault((read.positive.lower(), read.negative.lower()), Candidate(read, pair, template))
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
    progress: Callable[[int], object] = lambda done: None,
) -> Findings:
    """Try every candidate on images that are encoded already.

    Args:
        metric: whose scores these are; its own prompts do not matter.
        features: unit image features, ``(N, D)``.
        targets: what people said of the images, ``(N,)``, high is good.
        held_out: rows to report on; the others are there to choose on.
        candidates: pairs to try, at least one.
        ensemble: most pairs that the ensemble may have.
        intervals: how many of the best get a 95 % bootstrap interval.
        bootstrap: resamples per interval, at most a million.
        seed: of the resamples.
        progress: called with the number of candidates scored since the last call.

    Raises:
        SearchError: there are no candidates, or fewer than three images on either side, or scores there that are all
            equal.
    """
    if not candidates:
        raise SearchError("there are no candidates to search: name a file of pairs, or use the list that is built in.")
    out = np.zeros(len(targets), dtype=bool)
    out[list(held_out)] = True
    opinion = targets.double().cpu().numpy()
    for rows, what in ((~out, "to choose on"), (out, "held out")):
        if len(set(opinion[rows])) < 2 or rows.sum() < 3:
            raise SearchError(
                f"{counted(int(rows.sum()), 'image')} {what} with "
                f"{counted(len(set(opinion[rows])), 'different score')}: a search "
                "needs at least three images with different scores to choose on, and as many held out."
            )
    paper = Candidate(NAMED_PAIRS[DEFAULT_PAIR], ("Good", "Bad"), "{} photo.")
    tried = [paper, *candidates]
    scores = np.concatenate(
        [
            _scores(metric, features, tried[start : start + _COLUMNS], progress)
            for start in range(0, len(tried), _COLUMNS)
        ],
        axis=1,
    )
    chosen_by = _srocc(scores[~out], opinion[~out])
    order = [0, *(1 + np.argsort(-_nan_last(chosen_by[1:]), kind="stable"))]  # the paper's, then the others by rank
    picked, by = _greedy(scores[~out, 1:], opinion[~out], chosen_by[1:], ensemble)
    mean = scores[:, [1 + index for index in picked]].mean(axis=1)
    sure = order[: 1 + intervals]
    estimates = srocc_of_many(
        np.column_stack([scores[out][:, sure], mean[out]]), opinion[out], bootstrap=bootstrap, seed=seed
    )
    rest = _srocc(scores[out][:, order[1 + intervals :]], opinion[out])
    findings = [
        Finding(tried[index], float(chosen_by[index]), estimate, plcc(scores[out, index], opinion[out]))
        for index, estimate in zip(order, [*estimates[:-1], *map(Estimate, rest.tolist())], strict=True)
    ]
    return Findings(
        tuple(findings[1:]),
        findings[0],
        tuple(candidates[index] for index in picked),
        by,
        estimates[-1],
        plcc(mean[out], opinion[out]),
        int((~out).sum()),
        int(out.sum()),
    )


def as_prompts(candidates: Sequence[Candidate]) -> str:
    """Python (and YAML) that asks these pairs: what follows ``prompts=``."""
    pairs = [(candidate.pair.positive, candidate.pair.negative) for candidate in candidates]
    return json.dumps(pairs, ensure_ascii=False)  # a list of lists of two texts, in either language


def _scores(metric: CLIPIQA, features: Tensor, candidates: Sequence[Candidate], progress: Any) -> NDArray[np.float32]:
    """Each candidate's scores of each image, ``(N, P)``."""
    with torch.no_grad():
        scores = metric.score(features, prompts=[candidate.pair for candidate in candidates], aggregate=None)
    progress(len(candidates))
    return scores.cpu().numpy()


def _greedy(scores: NDArray[np.float32], opinion: Array, alone: Array, most: int) -> tuple[list[int], float]:
    """Pairs whose mean ranks images best: begun with the best, then the one that helps most, while one helps."""
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
    """SROCC of each column of scores ``(N, P)``, with ``added`` to it; NaN where a column is constant."""
    from scipy.stats import rankdata

    def centred(values: NDArray[Any]) -> Array:
        return rankdata(values, axis=0) - (len(values) + 1) / 2

    y = centred(opinion)
    parts = []
    for start in range(0, scores.shape[1], _COLUMNS):
        x = centred(scores[:, start : start + _COLUMNS] + added)
        with np.errstate(invalid="ignore"):
            parts.append(y @ x / np.sqrt((x * x).sum(axis=0) * (y @ y)))
    return np.concatenate(parts) if parts else np.empty(0)


def _nan_last(values: Array) -> Array:
    return np.where(np.isnan(values), -np.inf, values)
