"""The best and the worst images of a folder, by any question (the paper's Fig. 3, 6, 8 and 9)."""

from __future__ import annotations

import argparse

from ..options import experiment
from ..options.model import positive
from . import rank_shards

EPILOG = """
Every image is encoded once, however many questions are asked. --out DIR receives ranking.csv (every image) and, for
each question, rank-QUESTION.png: the highest and the lowest with their scores.

examples:
  clipiqa rank spaq/ --out rank/
  clipiqa rank ava/images --prompts happy scary complex natural new --out rank/ --resume
  clipiqa rank results/ --above 0.6 --write-shards kept/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="FOLDER", help="folders, images or quoted globs")
    experiment.configure(parser, EPILOG, prompts="quality")
    parser.add_argument("--count", type=positive, default=10, metavar="N", help="of the best and of the worst (10)")
    rank_shards.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score the images, print the extremes of each question and write their pictures."""
    from ...figures import rank

    if args.write_shards is not None:
        return rank_shards.run(args)
    return experiment.run(args, rank, args.paths, experiment.prompts(args), count=args.count)
