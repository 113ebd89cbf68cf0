"""Whether the metric chooses between two images as people do (the paper's Fig. 7)."""

from __future__ import annotations

import argparse

from .options import experiment

EPILOG = """
VOTES is a CSV file with the columns attribute,first,second,choice, one row per vote, where the choice is first, second,
one of the two files, or tie; or attribute,first,second,votes_first,votes_second, one row per pair. The table says per
attribute how often the metric sides with the majority, with Wilson's 95 % interval, and with single votes, with an
interval from resampled pairs; ceiling is what always siding with the majority would reach. --out DIR receives
agreement.csv (every pair), summary.json, agreement.png and contradictions.png.

examples:
  clipiqa agreement votes.csv --out agreement/
  clipiqa agreement votes.csv --root ava/images --attribute happy
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("votes", metavar="VOTES", help="a CSV file: attribute,first,second,choice")
    experiment.configure(parser, EPILOG, prompts=None)
    add = parser.add_argument_group("votes").add_argument
    add("--root", metavar="DIR", help="folder of the images (default: that of the CSV file)")
    add("--attribute", metavar="PROMPT", help="what was asked, where the file has no such column")
    add("--skip-missing", action="store_true", help="leave out pairs whose images are missing")
    add("--seed", type=int, default=0, metavar="N", help="of the resampled pairs (default: 0)")
    add("--count", type=int, default=10, metavar="N", help="contradictions to show (10)")


def run(args: argparse.Namespace) -> int:
    """Score the images and compare the choices."""
    from ..experiments.user_agreement import agreement

    names = ("root", "attribute", "skip_missing", "seed", "count")
    return experiment.run(args, agreement, args.votes, **{name: getattr(args, name) for name in names})
