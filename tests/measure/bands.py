"""How many crops of photos have a plain band, so that ``clipiqa gate`` does not look for a cut in them.

python tests/measure/bands.py FOLDER ...
"""

import numpy as np
from timing import arguments, head, photos, row

from clipiqa_pyiqa import read_image
from clipiqa_pyiqa.workbench.gate.bands import has_plain_band

CROPS = 6
"""Random crops of each photo."""


def crops(photo, side, draw):
    height, width = photo.shape[1:]
    for _ in range(CROPS if min(height, width) > side else 0):
        top = draw.integers(height - side)
        left = draw.integers(width - side)
        yield photo[:, top : top + side, left : left + side]


def main():
    files = photos(*arguments("paths*").paths)
    head("side", "crops", "with a plain band")
    for side in (64, 128, 256, 512):
        draw = np.random.default_rng(0)
        plain = [has_plain_band(crop) for file in files for crop in crops(read_image(file).pixels, side, draw)]
        row(str(side), str(len(plain)), f"{np.mean(plain):.3f}")


if __name__ == "__main__":
    main()
