"""Count how much damage in JPEGs is noticed, and how many good files are called damaged.

``python tests/measure/jpeg_damage.py FOLDER ...``: every JPEG in the folders is read as it is (false alarms, and pixels
unlike PIL's), and a random sample of 100 files is damaged in each of five ways.
"""

from __future__ import annotations

import io
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from clipiqa_pyiqa.images.reader import decode_jpeg, decodes_like_pil


def replaced(length: int, fill: Callable[[random.Random, bytes], bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Return a function that replaces ``length`` bytes of a JPEG's compressed picture."""

    def damage(data: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(start_of_picture(data), len(data) - length - 2)
        return data[:at] + fill(rng, data[at : at + length]) + data[at + length :]

    return damage


def halved(data: bytes, rng: random.Random) -> bytes:
    return data[: (start_of_picture(data) + len(data)) // 2] + b"\xff\xd9"


DAMAGES = {
    "cut in half, with an end marker": halved,
    "400 bytes zeroed": replaced(400, lambda rng, old: bytes(len(old))),
    "64 bytes zeroed": replaced(64, lambda rng, old: bytes(len(old))),
    "16 bytes random": replaced(16, lambda rng, old: rng.randbytes(len(old))),
    "1 bit flipped": replaced(1, lambda rng, old: bytes([old[0] ^ 1 << rng.randrange(8)])),
}


def start_of_picture(data: bytes) -> int:
    """Return where the compressed picture begins, behind the headers, which may hold a thumbnail with markers."""
    at = 2
    while data[at : at + 2] != b"\xff\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def outcome(data: bytes, good: bytes | None = None) -> str:
    """Return what happens to a file; ``good`` is the file without damage."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception:  # PIL raises almost anything
        return "PIL refuses"
    decoded, damage = decode_jpeg(data, mode)
    if damage:
        return "noticed"
    if good is not None:
        same = np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(good))))
        return "silent, same pixels" if same else "silent"
    if decoded is None:
        return "fine, decoded by PIL"
    return "fine" if np.array_equal(decoded.squeeze(), pixels) else "OTHER PIXELS"


def main(folders: list[str]) -> None:
    paths = (path for folder in folders for path in Path(folder).rglob("*"))
    files = sorted(path for path in paths if path.suffix.lower() in (".jpg", ".jpeg"))
    print("pixels of simplejpeg taken for PIL's:", decodes_like_pil())
    print("good files:", dict(Counter(outcome(path.read_bytes()) for path in files)))
    rng = random.Random(0)
    sample = [path.read_bytes() for path in rng.sample(files, min(100, len(files)))]
    for name, damage in DAMAGES.items():
        print(f"{name}:", dict(Counter(outcome(damage(data, rng), data) for data in sample)))


if __name__ == "__main__":
    main(sys.argv[1:])
