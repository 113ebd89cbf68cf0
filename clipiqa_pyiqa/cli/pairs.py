"""Whether the better of two versions of a picture scores higher (the paper's Fig. 5)."""

from __future__ import annotations

import argparse

from .options import experiment

EPILOG = """
Images pair up by their path within the two folders, without suffix. Where names differ, give quoted patterns: they
pair by what their wildcards match. The table says for each question how many pairs are in the right order, with
Wilson's 95 % interval; the mean difference, high less low, with Student's; and p of Wilcoxon's signed-rank test. --out
DIR receives pairs.csv (every pair), pairs.png (low against high) and failures-QUESTION.png, the worst failures.

examples:
  clipiqa pairs LOL/eval15/low LOL/eval15/high --prompts brightness --out lol/
  clipiqa pairs 'PolyU/CroppedImages/*_real.JPG' 'PolyU/CroppedImages/*_mean.JPG' --prompts noisiness
  clipiqa pairs 'RealBlur/*/blur/blur_*.png' 'RealBlur/*/gt/gt_*.png' --prompts sharpness
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("low", metavar="LOW", help="folder, or quoted pattern, of the low-quality images")
    parser.add_argument("high", metavar="HIGH", help="of the high-quality ones, such as ground truth")
    experiment.configure(parser, EPILOG, prompts="quality")
    parser.add_argument("--skip-unpaired", action="store_true", help="leave out images without a partner")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="failures to show (10)")


def run(args: argparse.Namespace) -> int:
    """Score both folders and compare."""
    from ..experiments.image_pairs import pairs

    asked, options = experiment.prompts(args), {"skip_unpaired": args.skip_unpaired, "count": args.count}
    return experiment.run(args, pairs, args.low, args.high, asked, **options)
