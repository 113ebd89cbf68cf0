"""What ``clipiqa rank`` does with results by shard: it writes the shards of a filtered set."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..errors import CLIPIQAError
from .options.progress import Bar
from .options.wording import tell


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument_group("a filtered set (FOLDER: the --out DIR of `clipiqa score`)").add_argument
    add("--write-shards", type=Path, metavar="DIR", help="copy what is kept of the scored shards into new ones")
    add("--above", type=_cut, metavar="X", help="keep images whose value is at least this, or 10%%; at most: --below")
    add("--drop-worst", metavar="P%%", help="leave out this share of the images, those that score worst")
    add("--column", dest="by", metavar="NAME", help=argparse.SUPPRESS)  # what --by was called here


def run(args: argparse.Namespace) -> int:
    """Copy, and tell how many."""
    from ..scoring.shards.filtered import filter_shards

    if len(args.paths) != 1:
        raise CLIPIQAError("--write-shards takes one folder of results by shard, the --out DIR of clipiqa score.")
    with Bar(hidden=args.quiet, unit="shard") as bar:
        found = filter_shards(
            args.paths[0], args.write_shards, above=args.above, below=args.below, drop_worst=args.drop_worst,
            worst=args.worst, column=args.by, progress=partial(bar.show, ""),
        )  # fmt: skip
    for said in found.problems.values() if args.quiet else found.sentences():
        tell("rank", said)
    return 1 if found.problems else 0


def _cut(text: str) -> float | str:
    from ..scoring.cuts import parse_cut

    return parse_cut(text)
