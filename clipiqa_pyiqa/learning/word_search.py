"""Search for the words that agree best with people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, PromptError, counted
from ..errors.arguments import SharedOptions, checked
from ..files.writing import check_output, write_text
from ..metric import CLIPIQA, find_device
from ..prompts.pairs import DEFAULT_PAIR, NAMED_PAIRS, PromptPair, parse_prompts
from ..stats.correlation import Estimate, plcc, srocc_of_many, undefined
from .feature_store import FeatureStore, Say

Words = str | tuple[str, str]
"""A named pair, ``positive|negative``, or two texts, positive first."""

TEMPLATES = ("{} photo.", "A photo of {}.", "There is {} in the photo.", "The photo is {}.")  # the first three: Table 2
# Groups of synonyms on one scale: every positive text is tried with every negative text of its group.
_SYNONYMS = (
    # Sec. 3.2 and the grades of ITU-R BT.500, with synonyms
    (("Good", "Great", "Excellent", "Fine", "Perfect"), ("Bad", "Poor", "Terrible", "Awful", "Horrible")),
    (  # Table 2, pyiqa's preset
        ("High quality", "High definition", "High resolution", "Best quality"),
        ("Low quality", "Low definition", "Low resolution", "Worst quality"),
    ),
    # Table 3, SPAQ's attributes
    (
        ("Sharp", "Clear", "Crisp", "In-focus", "Fine detail"),
        ("Blurry", "Hazy", "Out-of-focus", "Motion-blurred", "Blur"),
    ),
    (("Clean", "Noise-free", "Smooth", "No noise"), ("Noisy", "Grainy", "Dirty", "Noise")),
    (("Bright", "Well-lit", "Well-exposed"), ("Dark", "Dim", "Underexposed", "Overexposed")),
    (("Colorful", "Vivid", "Vibrant"), ("Dull", "Faded", "Pale", "Washed-out")),
    (("High contrast", "Strong contrast"), ("Low contrast", "Weak contrast")),
    (  # distortions in KADID-10k and other synthetic data sets
        ("Undistorted", "Pristine", "Flawless", "Artifact-free"),
        ("Distorted", "Degraded", "Compressed", "Pixelated", "Damaged"),
    ),
    (  # the official demo, Table 6, AVA
        ("Aesthetic", "Beautiful", "Attractive", "Stunning"),
        ("Not aesthetic", "Ugly", "Unattractive", "Boring"),
    ),
)


def read_words(path: str | Path) -> list[Words]:
    """Return the pairs in a text file: a name or ``positive|negative`` on each line; ``#`` begins a comment."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the pairs in {str(path)!r} cannot be read: {error}.") from error
    pairs: list[Words] = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not pairs:
        raise PromptError(f"{str(path)!r} holds no pairs: write one pair a line, such as 'Crisp photo.|Hazy photo.'.")
    return pairs


MIN_GAIN = 1e-3  # smallest gain in SROCC, on the images to choose on, for which a pair joins the ensemble
INTERVALS = 100  # number of best pairs that get a confidence interval


@dataclass(frozen=True)
class Finding:
    """How well the mean score of pairs agrees with people, on images to choose on and on held-out images."""

    pairs: tuple[PromptPair, ...]
    chosen_by: float
    srocc: Estimate
    plcc: float


@dataclass(frozen=True)
class Findings:
    """Ranked pairs, best first, the paper's pair, and the best ensemble.

    ``unknown`` counts omitted pairs, whose words the backbone never saw.
    """

    ranked: tuple[Finding, ...]
    paper: Finding
    ensemble: Finding
    chosen_on: int
    held_out: int
    unknown: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str | Path] = ()

    def save(self, path: str | Path) -> None:
        """Write lines of metadata, ``# key: value``, and a CSV line per pair; never replace an input."""
        check_output(path, overwrite=True, inputs=self.inputs)
        place = {pair: number for number, pair in enumerate(self.ensemble.pairs, start=1)}
        lines = [f"# {key}: {' '.join(str(value).split())}\n" for key, value in self.metadata.items()]
        rows = []
        for rank, finding in enumerate(self.ranked, start=1):
            (pair,) = finding.pairs
            row = {
                "rank": rank,
                "positive": pair.positive,
                "negative": pair.negative,
                "srocc_chosen_by": finding.chosen_by,
                "srocc_held_out": finding.srocc.value,
                "srocc_low": finding.srocc.low,
                "srocc_high": finding.srocc.high,
                "plcc_held_out": finding.plcc,
                "ensemble": place.get(pair, ""),
            }
            rows.append(row)
        table = pandas.DataFrame(rows).to_csv(index=False, float_format="%.6f", lineterminator="\n")
        write_text(path, "".join(lines) + table)


@checked
def search_prompts(
    scores: ScoreTable | str | Path,
    *,
    words: Sequence[Words] | None = None,
    templates: Sequence[str] | None = None,
    ensemble: int = 5,
    bootstrap: int = 1000,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: str | Path | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
    say: Say | None = None,
) -> Findings:
    """Return the prompt pairs that agree best with people's scores.

    The split ``'train'`` chooses pairs; the results are for ``'test'``, or for ``'val'`` if there is no ``'test'``.

    Args:
        scores, features, say: As for :func:`clipiqa_pyiqa.train`.
        words: Pairs of words, positive first; default the named pairs and our antonyms. Unknown words are left out.
        templates: Texts with ``{}`` for the words; default ``TEMPLATES``, or ``'{}'`` for pairs of your own.
        ensemble: Largest number of pairs in the ensemble.
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
    table = find_score_table(scores, seed=seed, needed=("train",))
    paths, targets = table.frame["path"].tolist(), torch.tensor(table.frame["target"].tolist())
    split = "val" if table.part("test").empty else "test"
    held_out = np.flatnonzero(table.frame["split"] == split)
    device = find_device(device)
    metric = (CLIPIQA() if metric is None else metric).to(device).eval()
    known = [pair for pair in candidates if metric.clip.knows(pair.positive, pair.negative)]
    if not known:
        raise CLIPIQAError(f"{metric.clip.weights.backbone} knows no pair to try: pass other words or backbone.")
    store = FeatureStore(metric, features)
    encoded = store.features(paths, device=device, workers=workers, say=say)
    if say is not None:
        say(f"scoring {counted(len(known), 'pair')}")
    data = encoded[:, 0].to(device), targets, held_out
    findings = search(metric, *data, known, ensemble=ensemble, bootstrap=bootstrap, seed=seed)
    metadata = {
        "data_set": table.name,
        "chosen_on": counted(findings.chosen_on, "image"),
        "held_out": f"{counted(findings.held_out, 'image')} ({split})",
        "seed": seed,
        **{key: value for key, value in metric.provenance().items() if key not in ("metric", "scores")},
    }
    inputs = paths if isinstance(scores, ScoreTable) else [scores, *paths]
    return replace(findings, unknown=len(candidates) - len(known), metadata=metadata, inputs=inputs)


def make_candidates(words: Iterable[Words] | None = None, templates: Sequence[str] | None = None) -> list[PromptPair]:
    """Return each pair of words in each template; of pairs that CLIP reads alike, return the first."""
    if words is None:
        words = [*NAMED_PAIRS, *(pair for group in _SYNONYMS for pair in itertools.product(*group))]
        templates = templates or TEMPLATES
    found: dict[tuple[str, str], PromptPair] = {}
    for given, template in itertools.product(words, templates or ("{}",)):
        for pair in parse_prompts([given], template):
            found.setdefault((pair.positive.lower(), pair.negative.lower()), pair)
    return list(found.values())


def search(
    metric: CLIPIQA,
    features: Tensor,
    targets: Tensor,
    held_out: ArrayLike,
    candidates: Sequence[PromptPair],
    *,
    ensemble: int = 5,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Findings:
    """Return the findings for unit features ``(N, D)`` and scores ``(N,)``; rows ``held_out`` only test the pairs."""
    is_out = np.isin(np.arange(len(targets)), held_out)
    opinion = targets.double().cpu().numpy()
    for rows, side in ((~is_out, "to choose on"), (is_out, "held out")):
        if reason := undefined(opinion[rows], opinion[rows]):
            raise CLIPIQAError(f"the images {side} cannot be used: {reason}.")
    tried = [*candidates, NAMED_PAIRS[DEFAULT_PAIR]]  # the paper's pair is the last
    with torch.no_grad():
        scores = metric.score(features, prompts=tried, aggregate=None).cpu().numpy()
    chosen_by = _srocc(scores[~is_out], opinion[~is_out])
    picked, ensemble_srocc = _grow_ensemble(scores[~is_out, :-1], opinion[~is_out], ensemble)
    order = np.argsort(-np.nan_to_num(chosen_by[:-1], nan=-2), kind="stable")
    scores, opinion = scores[is_out], opinion[is_out]
    mean = scores[:, picked].mean(axis=1)
    *estimates, of_paper, of_mean = srocc_of_many(
        np.column_stack([scores[:, order[:INTERVALS]], scores[:, -1], mean]), opinion, bootstrap=bootstrap, seed=seed
    )
    estimates += map(Estimate, _srocc(scores[:, order[INTERVALS:]], opinion).tolist())
    *ranked, paper = (
        Finding((tried[index],), float(chosen_by[index]), estimate, plcc(scores[:, index], opinion))
        for index, estimate in zip([*order, -1], [*estimates, of_paper], strict=True)
    )
    best = Finding(tuple(tried[index] for index in picked), ensemble_srocc, of_mean, plcc(mean, opinion))
    return Findings(tuple(ranked), paper, best, int((~is_out).sum()), int(is_out.sum()))


def _grow_ensemble(scores: NDArray[np.float32], opinion: NDArray[np.float64], most: int) -> tuple[list[int], float]:
    picked: list[int] = []
    best = -np.inf
    for _ in range(max(1, min(most, scores.shape[1]))):
        total = scores[:, picked].sum(axis=1, keepdims=True)
        joined = np.nan_to_num(_srocc(scores + total, opinion), nan=-2)
        joined[picked] = -np.inf
        new = int(np.argmax(joined))
        if picked and joined[new] < best + MIN_GAIN:
            break
        picked.append(new)
        best = float(joined[new])
    return picked, best


def _srocc(scores: NDArray[np.float32], opinion: NDArray[np.float64]) -> NDArray[np.float64]:
    return pandas.DataFrame(scores).rank().corrwith(pandas.Series(opinion).rank()).to_numpy()
