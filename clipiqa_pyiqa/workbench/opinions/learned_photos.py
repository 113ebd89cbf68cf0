"""Photos that a metric learned from, recognised by their bytes: those of mini, of heads and of learned prompts."""

import base64
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...files.hashes import FileHashes

PHOTO_LIST = Path(__file__).parents[2] / "data" / "mini_photos.bin"
DIGEST_BYTES = 5  # first bytes of each file's SHA-256: one in 270 million other photos matches by chance


def seen_by_mini(paths: Collection[FilePath], hashes: FileHashes) -> list[bool]:
    """Return of each file whether ``mini`` was trained on it."""
    return [digest in digests_of_mini() for digest in short_digests(paths, hashes)]


def written_digests(paths: Collection[FilePath], hashes: FileHashes) -> str:
    """Return the files' digests as text, for the metadata of a head or of learned prompts."""
    return base64.b64encode(bytes.fromhex("".join(short_digests(paths, hashes)))).decode()


def count_learned_from(metric: Any, paths: Collection[FilePath], hashes: FileHashes) -> int:
    """Return how many of the files a metric's head or prompts were learned from; 0 if not known."""
    learned = getattr(metric, "head", None) or getattr(metric, "prompt_learner", None)
    text = learned.metadata.get("trained_on", "") if learned else ""
    known = _split(base64.b64decode(text))
    return sum(digest in known for digest in short_digests(paths, hashes)) if known else 0


def seen_warning(count: int, images: int) -> str:
    """Return the warning that ``mini`` was trained on ``count`` of the images."""
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: set without_mini_photos to leave them out."
    )


def short_digests(paths: Collection[FilePath], hashes: FileHashes) -> list[str]:
    """Return the first bytes of each file's SHA-256 in hexadecimal; empty for a file that cannot be read."""
    there = [str(path) for path in paths if os.path.exists(path) and os.access(path, os.R_OK)]  # no path holds \0
    known = dict(zip(there, hashes.of(there), strict=True))
    return [known.get(str(path), "")[: 2 * DIGEST_BYTES] for path in paths]


@cache
def digests_of_mini() -> frozenset[str]:
    return _split(PHOTO_LIST.read_bytes())


def _split(content: bytes) -> frozenset[str]:
    return frozenset(content.hex(" ", DIGEST_BYTES).split())
