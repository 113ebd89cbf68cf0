"""How others compute their tables, with the source of each."""

from __future__ import annotations

import argparse

from .options.tables import aligned


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this one, or a file of your own; default: a list")


def run(args: argparse.Namespace) -> int:
    """Print the protocols, a line each, or one of them with its source."""
    from ..comparison.table.protocols import CERTAINTY, protocol_files, read_protocol

    if args.name is not None:
        print("\n".join(aligned(read_protocol(args.name).rows)))
        return 0
    found = [read_protocol(name) for name in protocol_files()]
    rows = [(each.name, each.title, CERTAINTY[each.certainty]) for each in found]
    print("\n".join(aligned([("name", "whose", "known"), *rows])))
    return 0
