"""How many real photos and how many made images that are no photos get a flag.

python tests/measure/flags.py FOLDER ...   (photos in the folders; 200 made images of each kind, 64 to 1,024 px)
"""

from collections import Counter

import numpy as np
import torch
from scipy.fft import idctn
from timing import arguments, photos, pixels

from clipiqa_pyiqa.images.flags import flag

FROM_YCBCR = np.array([[1, 1, 1], [0, -0.344, 1.772], [1.402, -0.714, 0]])


def uniform_noise(draw, height, width):
    return draw.random((height, width, channels(draw)))


def normal_noise(draw, height, width):
    return draw.normal(draw.uniform(0.3, 0.7), draw.uniform(0.1, 0.5), (height, width, channels(draw)))


def black(draw, height, width):
    """A black frame, with a sensor's noise of up to 3 levels."""
    return np.abs(draw.normal(0, draw.uniform(0, 3 / 255), (height, width, 3)))


def white(draw, height, width):
    return 1 - black(draw, height, width)


def coefficients(draw, height, width):
    """Blocks of 8×8 random coefficients whose deviation falls with the frequency, in grey or YCbCr."""
    rows, columns, count = -(-height // 8), -(-width // 8), channels(draw)
    deviation = draw.uniform(0.2, 2) / (1 + np.add.outer(np.arange(8), np.arange(8))) ** draw.uniform(0, 2)
    blocks = idctn(draw.normal(size=(rows, columns, count, 8, 8)) * deviation, axes=(-2, -1), norm="ortho")
    x = blocks.transpose(0, 3, 1, 4, 2).reshape(rows * 8, columns * 8, count)[:height, :width]
    return 0.5 + (x @ FROM_YCBCR if count == 3 else x)


def coarse_noise(draw, height, width):
    """Noise of at least 8×8 cells of 2 to 32 px, enlarged by repetition, bilinearly or bicubically."""
    cell = int(2 ** draw.uniform(1, min(5, np.log2(min(height, width) / 8))))
    cells = torch.from_numpy(draw.random((1, channels(draw), -(-height // cell), -(-width // cell))))
    mode = draw.choice(["nearest", "bilinear", "bicubic"])
    x = torch.nn.functional.interpolate(cells, scale_factor=cell, mode=str(mode))
    return x[0].permute(1, 2, 0).numpy()[:height, :width]


def channels(draw):
    return 1 if draw.random() < 0.3 else 3


def made(kind):
    """Yield 200 images ``(3, H, W)`` in [0, 1], in steps of 1 / 255."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        height, width = (2 ** draw.uniform(6, 10, 2)).round().astype(int)
        x = (kind(draw, height, width).clip(0, 1) * 255).round().astype(np.float32) / 255
        yield torch.from_numpy(x).expand(-1, -1, 3).permute(2, 0, 1)


def main():
    files = photos(*arguments("paths*").paths)
    for kind in (uniform_noise, normal_noise, black, white, coefficients, coarse_noise):
        print(f"{kind.__name__}: {dict(Counter(map(flag, made(kind))))}")
    flagged = {file: found for file in files if (found := flag(pixels(file)))}
    print(*(f"{file}: {found}" for file, found in flagged.items()), sep="\n")
    print(f"{len(flagged)} of {len(files):,} photos are flagged")


if __name__ == "__main__":
    main()
