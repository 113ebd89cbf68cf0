"""The photos that the bundled ``mini`` was trained on: which of them are among a user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..files.hashes import hash_file
from .csv_files import TableError
from .score_table import ScoreTable

LIST = Path(__file__).parents[1] / "data" / "mini_photos.bin"
BYTES = 5  # of each file's SHA-256: one foreign photo in 270 million is taken for one of these


def seen_by_mini(paths: Sequence[str | Path]) -> list[bool]:
    """Return for each image file whether ``mini`` was trained on it and on its human score.

    Files are compared byte by byte: a photo that was saved again is not recognised. A file that cannot be read counts
    as not seen.
    """
    return [_starts_like(path) in _known() for path in paths]


def said_of_seen(count: int, images: int) -> str:
    """Return the sentence for people whose images ``mini`` has seen; at its end they are told what to do."""
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: without_mini_photos leaves them out."
    )


def without_mini_photos(table: ScoreTable, needed: Sequence[str]) -> ScoreTable:
    """Return the table without the photos that ``mini`` was trained on.

    Raises:
        TableError: Fewer than two images are left in one of the ``needed`` splits.
    """
    rows = [row for row, seen in enumerate(seen_by_mini(table.paths)) if not seen]
    kept = replace(
        table,
        paths=tuple(table.paths[row] for row in rows),
        targets=tuple(table.targets[row] for row in rows),
        splits=tuple(table.splits[row] for row in rows),
    )
    for split in needed:
        if (left := len(kept.rows(split))) < 2:
            raise TableError(
                f"{left} of {len(table.rows(split)):,} images in the split {split!r} are none that mini was trained "
                "on, but two are needed: use other photos, or keep these."
            )
    return kept


@cache
def _known() -> frozenset[bytes]:
    content = LIST.read_bytes()
    return frozenset(content[start : start + BYTES] for start in range(0, len(content), BYTES))


def _starts_like(path: str | Path) -> bytes:
    try:
        return bytes.fromhex(hash_file(Path(path)))[:BYTES]
    except OSError:
        return b""
