"""Whether the metric chooses between two images as people do (the paper's Fig. 7)."""

from __future__ import annotations

import argparse
import sys

from ..options import experiment
from ..options.model import positive

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

INTERVALS = {
    "majority accuracy": ("majority low", "majority high"),
    "vote accuracy": ("vote low", "vote high"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("votes", metavar="VOTES", help="a CSV file: attribute,first,second,choice")
    experiment.configure(parser, EPILOG, prompts=None)
    add = parser.add_argument_group("votes").add_argument
    add("--root", metavar="DIR", help="folder of the images (default: that of the CSV file)")
    add("--attribute", metavar="PROMPT", help="what was asked, where the file has no such column")
    add("--skip-missing", action="store_true", help="leave out pairs whose images are missing")
    add("--seed", type=int, default=0, metavar="N", help="of the resampled pairs (default: 0)")
    add("--count", type=positive, default=10, metavar="N", help="contradictions to show (10)")


def run(args: argparse.Namespace) -> int:
    """Score the images and compare the choices."""
    from ...figures.user_study import agreement
    from ...figures.votes import read_votes

    votes = read_votes(
        args.votes, root=args.root, attribute=args.attribute, template=args.template, skip_missing=args.skip_missing
    )
    run = experiment.Experiment(args)
    metric = run.metric(votes.columns)
    with run.scoring(len(set(votes.frame["first"]) | set(votes.frame["second"]))) as options:
        found = agreement(metric, votes, seed=args.seed, **options)
    run.table("agreement", found.frame)
    if run.out is not None:
        run.picture("agreement.png", found.figure())
        run.picture("contradictions.png", found.contradiction_sheet(args.count))
    summary, undecided = found.summary(), int(votes.frame["undecided"].sum())
    more = {"undecided": undecided, "missing": list(votes.missing)}
    code = run.finish(summary, found.failed, found.provenance, INTERVALS, **more)
    tied = int((found.frame["majority"] == "").sum())
    for count, what in (
        (tied, "pairs have no majority and count only vote by vote"),
        (undecided, "votes were for neither image and are not counted"),
        (len(votes.missing), "images are missing, and their pairs were left out"),
    ):
        if count:
            print(f"clipiqa agreement: {count} {what}", file=sys.stderr)
    return code
