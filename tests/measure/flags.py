"""How many real photos and how many made images that are no photos get a flag.

python tests/measure/flags.py FOLDER ...   (photos in the folders; 200 made images of each kind, 64 to 1,024 px)
python tests/measure/flags.py --time FILE ...   (time of the flag beside mini's score)
"""

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from scipy.fft import idctn

from clipiqa_pyiqa.images.flags import flag
from clipiqa_pyiqa.images.reader import read_image

CASES, SMALLEST, LARGEST = 200, 64, 1024
Draw = np.random.Generator
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def uniform_noise(draw, height, width):
    return draw.random((height, width, _channels(draw)))


def normal_noise(draw, height, width):
    return draw.normal(draw.uniform(0.3, 0.7), draw.uniform(0.1, 0.5), (height, width, _channels(draw)))


def black(draw, height, width):
    """A black frame, with a sensor's noise of up to 3 levels."""
    return np.abs(draw.normal(0, draw.uniform(0, 3 / 255), (height, width, 3)))


def white(draw, height, width):
    return 1 - black(draw, height, width)


def coefficients(draw, height, width):
    """Blocks of 8×8 random coefficients whose deviation falls with the frequency, in grey, RGB or YCbCr."""
    shape = -(-height // 8), -(-width // 8), _channels(draw), 8, 8
    frequency = np.add.outer(np.arange(8), np.arange(8))
    deviation = draw.uniform(0.2, 2) / (1 + frequency) ** draw.uniform(0, 2)
    blocks = idctn(draw.normal(size=shape) * deviation, axes=(-2, -1), norm="ortho")
    x = 0.5 + blocks.transpose(0, 3, 1, 4, 2).reshape(shape[0] * 8, shape[1] * 8, shape[2])[:height, :width]
    if shape[2] == 3 and draw.random() < 0.5:
        y, b, r = (x - [0, 0.5, 0.5]).transpose(2, 0, 1)
        x = np.stack([y + 1.402 * r, y - 0.344 * b - 0.714 * r, y + 1.772 * b], axis=-1)
    return x


def coarse_noise(draw, height, width):
    """Noise of at least 8×8 cells of 2 to 32 px, enlarged by repetition, bilinearly or bicubically."""
    cell = int(2 ** draw.uniform(1, min(5, np.log2(min(height, width) / 8))))
    cells = torch.from_numpy(draw.random((1, _channels(draw), -(-height // cell), -(-width // cell))))
    mode = draw.choice(["nearest", "bilinear", "bicubic"])
    x = torch.nn.functional.interpolate(cells, scale_factor=cell, mode=str(mode))
    return x[0].permute(1, 2, 0).numpy()[:height, :width]


KINDS = {
    kind.__name__.replace("_", " "): kind
    for kind in (uniform_noise, normal_noise, black, white, coefficients, coarse_noise)
}


def made(kind, cases=CASES):
    """Yield images ``(3, H, W)`` in [0, 1], in steps of 1 / 255."""
    draw = np.random.default_rng(sorted(KINDS).index(kind))
    for _ in range(cases):
        height, width = (2 ** draw.uniform(np.log2(SMALLEST), np.log2(LARGEST), 2)).round().astype(int)
        x = KINDS[kind](draw, height, width).clip(0, 1)
        x = (x * 255).round().astype(np.float32) / 255
        yield torch.from_numpy(x).expand(-1, -1, 3).permute(2, 0, 1)


def photos(folders):
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*")) if file.suffix.lower() in SUFFIXES]
    for file in files:
        # channels_last, as in a batch
        yield str(file), read_image(str(file)).pixels.float().div_(255)


def _channels(draw):
    return 1 if draw.random() < 0.3 else 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--time", action="store_true")
    given = parser.parse_args()
    if given.time:
        times(given.paths)
        return
    for kind in KINDS:
        print(f"{kind}: {dict(Counter(map(flag, made(kind))))}")
    count, flagged = 0, 0
    for file, x in photos(given.paths):
        count += 1
        if found := flag(x):
            flagged += 1
            print(f"{file}: {found}")
    print(f"{flagged} of {count:,} photos are flagged")


def times(files, rounds=15):
    from timing import in_turns

    from clipiqa_pyiqa import CLIPIQA

    net = CLIPIQA(backbone="mini").eval()
    for file in files:
        x = read_image(file).pixels.float().div_(255)[None]
        with torch.no_grad():
            taken = in_turns({"score": lambda: net(x), "flag": lambda: flag(x[0])}, rounds)  # noqa: B023
        score, own = (1000 * statistics.median(taken[name]) for name in ("score", "flag"))
        print(f"{tuple(x.shape[2:])}: score {score:.2f} ms, flag {own:.3f} ms, {own / score:.1%}  {file}")


if __name__ == "__main__":
    sys.exit(main())
