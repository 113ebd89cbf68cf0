"""Score bundled photos and degraded versions of them, without any download."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SAID = """\
Higher is better, from 0 to 1; of piqe, lower is better. (noisiness: high means clean, as in the paper.)

Used: the small CLIP that comes with the package (backbone='mini', {size:.0f} MB). It has seen ImageNet,
4,023 photos with human scores (BIQ2021) and photos degraded by known amounts. For the paper's CLIP-IQA, whose CLIP
RN50 (about 400 MB) is fetched once:  clipiqa score YOUR_PHOTOS   or, in Python,  pyiqa.create_metric('clipiqa')
"""


DEFAULT = "clipiqa-demo.png"  # a name that is ours, and so replaced


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(DEFAULT),
        metavar="FILE",
        help=f"the picture, .png, .svg or .pdf (default: {DEFAULT})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")


def run(args: argparse.Namespace) -> int:
    """Score, print a table, write the picture."""
    from ..experiments.demonstration import demo
    from ..files.names import one_line
    from ..files.writing import check_output
    from ..weights.published import MINI_FILE

    check_output(args.out, overwrite=args.overwrite, ours=lambda path: path.name == DEFAULT)
    found = demo()
    print(found.table())
    print()
    print(SAID.format(size=MINI_FILE.stat().st_size / 1e6), end="")
    sys.stdout.flush()  # the picture may fail to be written, the scores are out
    found.save(args.out)
    print(f"\nPicture: {one_line(str(args.out.resolve()))}")
    return 0
