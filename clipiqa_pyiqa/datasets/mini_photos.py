"""The photos that the bundled ``mini``, learned prompts and heads were trained on."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..files.hashes import hashes_of
from .score_table import ScoreTable

logger = logging.getLogger("clipiqa_pyiqa")
LIST = Path(__file__).parents[1] / "data" / "mini_photos.bin"
BYTES = 5  # first bytes of each file's SHA-256: one in 270 million other photos matches by chance


def seen_by_mini(paths: Collection[str | Path]) -> list[bool]:
    return [digest in digests_of_mini() for digest in _digests(paths)]


def written_digests(paths: Collection[str | Path]) -> str:
    """Return the files' digests as text, for the metadata of a head or of learned prompts."""
    return base64.b64encode(b"".join(_digests(paths))).decode()


def count_learned_from(metric: Any, paths: Collection[str | Path]) -> int:
    """Return how many of the files a metric's head or prompts were learned from; 0 if not known."""
    learned = getattr(metric, "head", None) or getattr(metric, "prompt_learner", None)
    text = learned.metadata.get("trained_on", "") if learned is not None else ""
    known = _split(base64.b64decode(text))
    return sum(digest in known for digest in _digests(paths)) if known else 0


def seen_warning(count: int, images: int) -> str:
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: leave these images out by --without-mini-photos."
    )


def look_for_mini_photos(table: ScoreTable, backbone: str, leave_out: bool, needed: Sequence[str]) -> ScoreTable:
    """Log how many photos ``mini`` was trained on; return the table, without these photos if ``leave_out`` is set."""
    if backbone != "mini" or not (count := sum(seen := seen_by_mini(table.frame["path"]))):
        return table
    if not leave_out:
        logger.warning("%s", seen_warning(count, len(seen)))
        return table
    table = replace(table, frame=table.frame[~np.array(seen)])
    table.check_splits(needed)
    logger.warning("left out: %s images that mini was trained on", f"{count:,}")
    return table


def _digests(paths: Collection[str | Path]) -> list[bytes]:
    there = [str(path) for path in paths if os.access(path, os.R_OK)]
    hashes = dict(zip(there, hashes_of(there), strict=True))
    return [bytes.fromhex(hashes.get(str(path), ""))[:BYTES] for path in paths]


@cache
def digests_of_mini() -> frozenset[bytes]:
    return _split(LIST.read_bytes())


def _split(content: bytes) -> frozenset[bytes]:
    return frozenset(content[start : start + BYTES] for start in range(0, len(content), BYTES))
