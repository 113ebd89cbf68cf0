"""The photos that the bundled ``mini`` was trained on: which of them are among a user's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..files.hashes import hash_file
from .csv_files import TableError
from .score_table import ScoreTable

logger = logging.getLogger("clipiqa_pyiqa")
LIST = Path(__file__).parents[1] / "data" / "mini_photos.bin"
BYTES = 5  # of each file's SHA-256: one foreign photo in 270 million is taken for one of these


def seen_by_mini(paths: Sequence[str | Path]) -> list[bool]:
    """Return for each image file whether ``mini`` was trained on it and on its human score.

    Files are compared byte by byte: a photo that was saved again is not recognised. A file that cannot be read counts
    as not seen.
    """
    return [_starts_like(path) in _known() for path in paths]


def said_of_seen(count: int, images: int) -> str:
    """Return what to tell people whose images ``mini`` has seen."""
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: without_mini_photos leaves them out."
    )


def look_for_mini_photos(
    table: ScoreTable, backbone: str, leave_out: bool, needed: Sequence[str]
) -> tuple[ScoreTable, int]:
    """Return the table to learn from on a backbone, and how many of its images ``mini`` was trained on.

    On other backbones than ``mini`` the table stays as it is. A line is logged where there are photos of ``mini``.

    Args:
        table: Images with scores.
        backbone: On which is learned.
        leave_out: Whether photos of ``mini`` are left out.
        needed: Splits in which two images must be left.

    Raises:
        TableError: Fewer are left.
    """
    seen = seen_by_mini(table.paths) if backbone == "mini" else []
    count = sum(seen)
    if count and leave_out:
        kept = [row for row, known in enumerate(seen) if not known]
        table = replace(
            table,
            paths=tuple(table.paths[row] for row in kept),
            targets=tuple(table.targets[row] for row in kept),
            splits=tuple(table.splits[row] for row in kept),
        )
        for split in needed:
            if (left := len(table.rows(split))) < 2:
                raise TableError(
                    f"without the {count:,} photos that mini was trained on, {left} of the images in the split "
                    f"{split!r} are left, but two are needed: use other photos."
                )
        logger.warning("left out: %s images that mini was trained on", f"{count:,}")
    elif count:
        logger.warning("%s", said_of_seen(count, len(seen)))
    return table, count


@cache
def _known() -> frozenset[bytes]:
    content = LIST.read_bytes()
    return frozenset(content[start : start + BYTES] for start in range(0, len(content), BYTES))


def _starts_like(path: str | Path) -> bytes:
    try:
        return bytes.fromhex(hash_file(Path(path)))[:BYTES]
    except OSError:
        return b""
