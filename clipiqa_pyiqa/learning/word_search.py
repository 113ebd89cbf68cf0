"""Search for the words that agree best with people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..datasets.score_table import ScoreTable, find_score_table
from ..errors import CLIPIQAError, FilePath, PromptError, SharedOptions, checked, counted, few, log
from ..files.reading import open_file
from ..metric import CLIPIQA, find_device
from ..prompts.pairs import DEFAULT_PAIR, NAMED_PAIRS, PromptPair, parse_prompts
from ..stats.correlation import STATISTICS, plcc
from ..stats.intervals import Array, Estimate, estimates
from .feature_store import stored_features

Words = str | tuple[str, str]  # a named pair, `positive|negative`, or two texts, positive first

# Templates in which the words make a sentence; the paper's templates are in Sec. 4.1 and Table 2.
ADJECTIVES = ("{} photo.", "The photo is {}.")
QUALITIES = ("{} photo.", "A photo of {}.")
THINGS = ("There is {} in the photo.",)

# Synonyms on one scale: every positive text is tried with every negative text.
_GROUPS = (
    # Sec. 3.2 and the five grades of ITU-R BT.500 (excellent, good, fair, poor, bad), with synonyms
    (
        ADJECTIVES,
        "good, great, excellent, fair, fine, perfect, superb",
        "bad, poor, terrible, awful, horrible, inferior, imperfect",
    ),
    # Table 2, pyiqa's preset
    (
        QUALITIES,
        "high quality, high definition, high resolution, best quality, good quality",
        "low quality, low definition, low resolution, worst quality, poor quality, bad quality",
    ),
    # Table 3, SPAQ's attributes
    (
        ADJECTIVES,
        "sharp, clear, crisp, in-focus, detailed",
        "blurry, unclear, hazy, out-of-focus, fuzzy, motion-blurred",
    ),
    (THINGS, "fine detail, sharp detail", "blur, motion blur, haze"),
    (ADJECTIVES, "clean, noise-free, smooth, pure", "noisy, grainy, dirty, speckled"),
    (THINGS, "no noise, no grain", "noise, grain"),
    (ADJECTIVES, "bright, well-lit, light, well-exposed", "dark, dim, badly lit, underexposed, overexposed"),
    (ADJECTIVES, "colorful, vivid, vibrant, richly colored", "dull, faded, pale, washed-out, colorless"),
    (QUALITIES, "high contrast, strong contrast", "low contrast, weak contrast"),
    # distortions in KADID-10k and other synthetic data sets
    (
        ADJECTIVES,
        "undistorted, pristine, flawless, artifact-free, uncompressed",
        "distorted, degraded, compressed, JPEG-compressed, pixelated, damaged",
    ),
    # the official demo, Table 6, AVA
    (
        ADJECTIVES,
        "aesthetic, beautiful, attractive, pretty, stunning, appealing",
        "not aesthetic, ugly, unattractive, boring, unappealing, plain",
    ),
)


def read_words(path: FilePath) -> list[Words]:
    """Return the pairs in a text file: a name or ``positive|negative`` on each line; ``#`` begins a comment."""
    try:
        with open_file(Path(path).expanduser(), "r", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the pairs in {str(path)!r} cannot be read: {error}.") from error
    pairs = list[Words]()
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            try:
                parse_prompts(line)
            except PromptError as error:
                raise PromptError(f"{path}, line {number}: {error}") from error
            pairs.append(line)
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
    """Ranked pairs, best first, the paper's pair, and the best ensemble."""

    ranked: tuple[Finding, ...]
    paper: Finding
    ensemble: Finding
    chosen_on: int
    held_out: int

    def frame(self) -> pandas.DataFrame:
        """Return a row for each pair, best first, then for the paper's pair and for the ensemble."""
        named = {str(rank): found for rank, found in enumerate(self.ranked, start=1)}
        named |= {"paper": self.paper, "ensemble": self.ensemble}
        rows = []
        for name, found in named.items():
            texts = found.pairs[0].texts if name != "ensemble" else (f"mean of {len(found.pairs)}", "")
            row = {"rank": name, "positive": texts[0], "negative": texts[1], "SROCC chosen by": found.chosen_by}
            rows.append({**row, **found.srocc.named("SROCC held out"), "PLCC held out": found.plcc})
        return pandas.DataFrame(rows)


@checked
def search_prompts(
    scores: ScoreTable | FilePath,
    *,
    words: Sequence[Words] | None = None,
    templates: Sequence[str] | None = None,
    ensemble: int = 5,
    bootstrap: int = 1000,
    metric: CLIPIQA | None = None,
    device: str | torch.device | None = SharedOptions.device,
    features: FilePath | None = None,
    workers: int | None = SharedOptions.workers,
    seed: int = 123,
) -> Findings:
    """Return the prompt pairs that agree best with people's scores.

    The split ``'train'`` chooses pairs; results are for ``'test'``, or else ``'val'``.

    Args:
        scores, features: As for :func:`clipiqa_pyiqa.train`.
        words: Pairs of words, positive first; default the named pairs and our antonyms.
        templates: Texts with ``{}`` for the words; default those that suit our words, or ``'{}'`` for your own.
    """
    candidates = make_candidates(words, templates)
    table = find_score_table(scores, seed=seed, needed=("train",))
    targets = torch.tensor(table.frame["target"].tolist())
    split = "val" if table.part("test").empty else "test"
    table.check_splits(["train", split])
    held_out = np.flatnonzero(table.frame["split"] == split)
    device = find_device(device)
    metric = (metric or CLIPIQA()).to(device).eval()
    known, unknown = list[PromptPair](), list[str]()
    for pair in candidates:
        if metric.clip.knows(*pair.texts):
            known.append(pair)
        else:
            unknown.append(pair.name)
    if not known:
        raise CLIPIQAError(f"{metric.clip.weights.backbone} knows no pair to try: pass other words or backbone.")
    encoded = stored_features(metric, features, table.frame["path"], device=device, workers=workers)
    if unknown:
        name = metric.clip.weights.backbone
        log.warning(f"left out: {counted(len(unknown), 'pair')} with words that {name} never saw: {few(unknown)}")
    log.info(f"scoring {counted(len(known), 'pair')}")
    return search(
        metric, encoded[:, 0].to(device), targets, held_out, known, ensemble=ensemble, bootstrap=bootstrap, seed=seed
    )


def make_candidates(words: Iterable[Words] | None = None, templates: Sequence[str] | None = None) -> list[PromptPair]:
    """Return each pair of words in each template; of pairs that CLIP reads alike, return the first."""
    given = itertools.product(words, templates or ("{}",)) if words is not None else _our_pairs(templates)
    found: dict[tuple[str, str], PromptPair] = {}
    for texts, template in given:
        for pair in parse_prompts([texts], template):
            found.setdefault((pair.positive.lower(), pair.negative.lower()), pair)
    return list(found.values())


def _our_pairs(templates: Sequence[str] | None) -> Iterator[tuple[Words, str]]:
    yield from ((pair.texts, "{}") for pair in NAMED_PAIRS.values())
    for suited, *sides in _GROUPS:
        for template, positive, negative in itertools.product(
            templates or suited, *(side.split(", ") for side in sides)
        ):
            if template.startswith("{}"):
                positive, negative = positive[0].upper() + positive[1:], negative[0].upper() + negative[1:]
            yield (positive, negative), template


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
    tried = [*candidates, NAMED_PAIRS[DEFAULT_PAIR]]  # the paper's pair is the last
    with torch.no_grad():
        scores = metric.score(features, prompts=tried, aggregate=None).cpu().numpy()
    chosen_by = _srocc(scores[~is_out], opinion[~is_out])
    picked, ensemble_srocc = _grow_ensemble(scores[~is_out, :-1], opinion[~is_out], ensemble)
    order = np.argsort(-np.nan_to_num(chosen_by[:-1], nan=-2), kind="stable")
    scores, opinion = scores[is_out], opinion[is_out]
    mean = scores[:, picked].mean(axis=1)
    sroccs = STATISTICS["SROCC"](np.vstack([scores[:, order[:INTERVALS]].T, scores[:, -1], mean]), opinion)
    *found, of_paper, of_mean = estimates(len(opinion), sroccs, bootstrap, seed)
    found += map(Estimate, _srocc(scores[:, order[INTERVALS:]], opinion).tolist())
    *ranked, paper = (
        Finding((tried[index],), float(chosen_by[index]), estimate, plcc(scores[:, index], opinion))
        for index, estimate in zip([*order, -1], [*found, of_paper], strict=True)
    )
    best = Finding(tuple(tried[index] for index in picked), ensemble_srocc, of_mean, plcc(mean, opinion))
    return Findings(tuple(ranked), paper, best, int((~is_out).sum()), int(is_out.sum()))


def _grow_ensemble(scores: NDArray[np.float32], opinion: Array, most: int) -> tuple[list[int], float]:
    picked = list[int]()
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


def _srocc(scores: NDArray[np.float32], opinion: Array) -> Array:
    return pandas.DataFrame(scores).rank().corrwith(pandas.Series(opinion).rank()).to_numpy()
