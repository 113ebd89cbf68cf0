"""Count how much damage in image files is noticed, and how many good files are called damaged.

``python tests/measure/jpeg_damage.py FOLDER ...``: every JPEG in the folders is checked as it is (false alarms, and
pixels unlike PIL's), and a random sample of 100 files is damaged in each of a dozen ways.
"""

from __future__ import annotations

import argparse
import io
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from clipiqa_pyiqa.images.jpeg_damage import decode_jpeg, decodes_like_pil

Damage = Callable[[bytes, int, int, random.Random], bytes]


def _replaced(length: int, fill: Callable[[random.Random, bytes], bytes]) -> Damage:
    """``length`` bytes somewhere between ``start`` and ``stop`` become what ``fill`` makes of them."""

    def damage(data: bytes, start: int, stop: int, rng: random.Random) -> bytes:
        at = rng.randrange(start, max(start + 1, stop - length))
        end = min(at + length, stop)
        return data[:at] + fill(rng, data[at:end]) + data[end:]

    return damage


def _halved(data: bytes, start: int, stop: int, rng: random.Random) -> bytes:
    return data[: (start + stop) // 2] + b"\xff\xd9"


def _bit(rng: random.Random, old: bytes) -> bytes:
    return bytes([old[0] ^ 1 << rng.randrange(8)])


DAMAGES: dict[str, Damage] = {
    **{f"{n} bytes zeroed": _replaced(n, lambda rng, old: bytes(len(old))) for n in (16, 64, 128, 400, 4096)},
    **{f"{n} bytes random": _replaced(n, lambda rng, old: rng.randbytes(len(old))) for n in (1, 16, 64, 400, 4096)},
    **{f"{n} bytes lost": _replaced(n, lambda rng, old: b"") for n in (1, 16, 400, 4096)},
    "1 bit flipped": _replaced(1, _bit),
    "half the data, with an end marker": _halved,
}


def outcome(data: bytes, good: np.ndarray) -> str:
    """What happens to a damaged file: refused by PIL, noticed, or silent (with the pixels as they were, or others)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception:  # PIL raises almost anything
        return "PIL refuses"
    if decode_jpeg(data, mode)[1]:
        return "noticed"
    return "silent, same pixels" if np.array_equal(pixels, good) else "silent"


def _start_of_scan(data: bytes) -> int:
    """Where the compressed picture begins, behind the headers, which may hold a thumbnail with markers."""
    at = 2
    while at < len(data) - 4:
        if data[at] != 0xFF or data[at + 1] == 0xFF:  # bytes between headers
            at += 1
        elif data[at + 1] == 0xDA:
            return at
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


def span(data: bytes) -> tuple[int, int]:
    """Where a JPEG's scans lie."""
    scan = _start_of_scan(data)
    end = data.find(b"\xff\xd9", scan)
    return scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big"), end if end > 0 else len(data)


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    args = parser.parse_args()
    files = sorted(
        p for f in args.folders for p in f.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg") and p.is_file()
    )
    rng = random.Random(0)
    print("pixels of simplejpeg taken for PIL's:", decodes_like_pil())
    print("good files:", dict(Counter(_good(path) for path in files)))
    counts = {name: Counter[str]() for name in DAMAGES}
    for path in rng.sample(files, min(100, len(files))):
        data = path.read_bytes()
        good = np.asarray(Image.open(io.BytesIO(data)))
        for name, damage in DAMAGES.items():
            bad = damage(data, *span(data), rng)
            if bad != data:
                counts[name][outcome(bad, good)] += 1
    columns = ("PIL refuses", "noticed", "silent, same pixels", "silent")
    print(f"{'damage':36}", *(f"{column:>20}" for column in columns))
    for name, count in counts.items():
        print(f"{name:36}", *(f"{count[column]:>20}" for column in columns))


def _good(path: Path) -> str:
    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception:
        return "PIL refuses"
    decoded, damage = decode_jpeg(data, mode)
    if damage:
        print("called damaged:", path, damage)
        return "called damaged"
    if decoded is None:
        return "fine, decoded by PIL"
    return "fine" if np.array_equal(decoded.squeeze(), pixels) else "OTHER PIXELS"


if __name__ == "__main__":
    main()
