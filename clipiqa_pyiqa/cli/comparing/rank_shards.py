"""What ``clipiqa rank`` does with results by shard: it writes the shards of a filtered set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...errors import CLIPIQAError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument_group("a filtered set (FOLDER: the --out DIR of `clipiqa score`)").add_argument
    declared = parser._option_string_actions
    add("--write-shards", type=Path, metavar="DIR", help="copy what is kept of the scored shards into new ones")
    for option, what in (("--above", "least"), ("--below", "most")):
        if option not in declared:
            add(option, type=float, metavar="X", help=f"keep images whose value is at {what} this")
    add("--column", metavar="NAME", help="what is compared: a score or another column (default: the first score)")


def run(args: argparse.Namespace) -> int:
    """Copy, and tell how many."""
    from tqdm import tqdm

    from ...scoring.sharded.filtered import filter_shards

    if len(args.paths) != 1:
        raise CLIPIQAError("--write-shards takes one folder of results by shard, the --out DIR of clipiqa score.")
    with tqdm(unit="shard", disable=True if args.quiet else None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = filter_shards(
            args.paths[0], args.write_shards, above=args.above, below=args.below, column=args.column, progress=progress
        )
    for said in found.problems.values() if args.quiet else found.sentences():
        print(f"clipiqa rank: {said}", file=sys.stderr)
    return 1 if found.problems else 0
