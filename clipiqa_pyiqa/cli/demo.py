"""``clipiqa demo``: score bundled photos."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from ..errors.arguments import Machine
from .options.model import start
from .options.progress import Bar

EXPLANATION = """\
Higher is better, from 0 to 1. (noisiness: high means clean, as in the paper.)

Used: the small CLIP that comes with the package (backbone='mini', {size:.0f} MB). It has seen ImageNet,
4,023 photos with human scores (BIQ2021) and photos degraded by known amounts. For the paper's CLIP-IQA, whose CLIP
RN50 (about 400 MB) is fetched once:  clipiqa score YOUR_PHOTOS   or, in Python,  pyiqa.create_metric('clipiqa')
"""
DEFAULT = "clipiqa-demo.png"  # replaced without --overwrite


def run(*, out: Path = Path(DEFAULT), overwrite: bool = False) -> int:
    """Score bundled photos and degraded versions of them, without any download.

    Args:
        out (-o FILE): the picture, .png, .svg or .pdf
        overwrite: replace an existing picture
    """
    from ..files.names import one_line
    from ..files.writing import check_output
    from ..weights.published import MINI_FILE

    check_output(out, overwrite=overwrite, ours=lambda path: path.name == DEFAULT)
    start(Machine(), "mini")
    from ..experiments.demonstration import demo

    with Bar(unit="picture") as bar:
        found = demo(progress=partial(bar.show, ""))
    print(f"{found.table()}\n\n{EXPLANATION.format(size=MINI_FILE.stat().st_size / 1e6)}", end="")
    sys.stdout.flush()  # before the picture, which may fail
    found.save(out)
    print(f"\nPicture: {one_line(str(out.resolve()))}")
    return 0
