"""Scores that OSEDiff's authors published for pictures in their repository, recognised by their hashes.

cswry/OSEDiff at fcc4f09, ``preset/datasets/benchmark_drealsr/results_osediff``: 93 pictures, scored by pyiqa with
OpenAI's RN50 and pyiqa's five prompt pairs on a GPU. The package holds hashes and scores, not the pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from ..files.hashes import hash_file
from ..images.reader import read_image

SOURCE = "OSEDiff at fcc4f09, results_osediff of benchmark_drealsr: pyiqa's clipiqa with OpenAI's RN50 on a GPU"
PROMPTS = "pyiqa"
MEDIAN, LARGEST = 0.002, 0.02  # how far off a right score may be: median and largest over the pictures
_FILE = Path(__file__).parents[1] / "data" / "osediff_drealsr.csv"
_SUFFIX = ".png"


@dataclass(frozen=True)
class GoldenScores:
    """How far scores are from the published ones.

    Attributes:
        count: Pictures that were recognised.
        median: Median distance.
        largest: Largest distance.
    """

    count: int
    median: float
    largest: float


def published_scores() -> dict[str, dict[str, str]]:
    """Return the published scores: SHA-256 of a picture -> its row, with a column per metric."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return {row["sha256"]: row for row in csv.DictReader(file)}


def check_golden(score: Callable[[torch.Tensor, str], float], files: Iterable[Path]) -> GoldenScores | None:
    """Score the pictures among some files whose scores are published.

    Args:
        score: Image ``(1, 3, H, W)`` in [0, 1] and prompts -> score.
        files: Files of any kind.

    Returns:
        The distances; None if no picture was recognised.
    """
    known, apart = published_scores(), {}
    for path in files:
        if path.suffix.lower() == _SUFFIX and (sha256 := hash_file(path)) in known and sha256 not in apart:
            x = read_image(path).pixels[None].float() / 255
            apart[sha256] = abs(score(x, PROMPTS) - float(known[sha256]["clipiqa"]))
    return GoldenScores(len(apart), median(apart.values()), max(apart.values())) if apart else None
