"""Photos that a metric learned from, recognised by their bytes: those of mini, of heads and of learned prompts."""

import base64
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...files import FileHashes

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
    if not text:
        return 0
    learned_digests = _digests_in(base64.b64decode(text))
    return sum(digest in learned_digests for digest in short_digests(paths, hashes))


def seen_warning(count: int, images: int) -> str:
    """Return the warning that ``mini`` was trained on ``count`` of the images."""
    return (
        f"mini was trained on {count:,} of these {images:,} images and their scores, so its agreement with them says "
        "little about other photos: set without_mini_photos to leave them out."
    )


def short_digests(paths: Collection[FilePath], hashes: FileHashes) -> list[str]:
    """Return the first bytes of each file's SHA-256 in hexadecimal; empty for a file that cannot be read."""
    readable = [str(path) for path in paths if os.path.exists(path) and os.access(path, os.R_OK)]
    digests = dict(zip(readable, hashes.of(readable), strict=True))
    return [digests.get(str(path), "")[: 2 * DIGEST_BYTES] for path in paths]


@cache
def digests_of_mini() -> frozenset[str]:
    """Return the digests of the photos that ``mini`` was trained on."""
    return _digests_in(PHOTO_LIST.read_bytes())


def _digests_in(content: bytes) -> frozenset[str]:
    """Return the digests that stand in bytes, one after the other, in hexadecimal."""
    return frozenset(content.hex(" ", DIGEST_BYTES).split())
