"""Count how much damage in JPEGs is noticed, and how many good files are called damaged.

``python tests/measure/jpeg_damage.py FOLDER ...``: every JPEG in the folders is read as it is (false alarms, and pixels
unlike PIL's), and a random sample of 100 files is damaged in each of five ways.
"""

import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from timing import arguments, photos

from clipiqa_pyiqa.workbench.images.jpeg import decode_jpeg, is_equal_to_pil

REPLACED = {  # number of bytes, and what replaces them
    "400 bytes zeroed": (400, lambda rng, old: bytes(400)),
    "64 bytes zeroed": (64, lambda rng, old: bytes(64)),
    "16 bytes random": (16, lambda rng, old: rng.randbytes(16)),
    "1 bit flipped": (1, lambda rng, old: bytes([old[0] ^ 1 << rng.randrange(8)])),
}


def damaged(data, name, rng):
    """Return a JPEG with bytes of its compressed picture replaced, or without the second half."""
    start = start_of_picture(data)
    if name not in REPLACED:
        return data[: (start + len(data)) // 2] + b"\xff\xd9"
    length, new = REPLACED[name]
    at = rng.randrange(start, len(data) - length - 2)
    return data[:at] + new(rng, data[at : at + length]) + data[at + length :]


def start_of_picture(data):
    """Return where the compressed picture begins, behind the headers, which may hold a thumbnail with markers."""
    at, marker = 2, b""
    while marker != b"\xff\xda":
        marker = data[at : at + 2]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def outcome(data, good=None):
    """Return what happens to a file; ``good`` is the file without damage."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
            pixels = np.asarray(image)
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


def main():
    paths = map(Path, photos(*arguments("folders*").folders))
    files = [path for path in paths if path.suffix.lower() in (".jpg", ".jpeg")]
    print("pixels of simplejpeg taken for PIL's:", is_equal_to_pil())
    print("good files:", dict(Counter(outcome(path.read_bytes()) for path in files)))
    rng = random.Random(0)
    sample = [path.read_bytes() for path in rng.sample(files, min(100, len(files)))]
    for name in ("cut in half, with an end marker", *REPLACED):
        print(f"{name}:", dict(Counter(outcome(damaged(data, name, rng), data) for data in sample)))


if __name__ == "__main__":
    main()
