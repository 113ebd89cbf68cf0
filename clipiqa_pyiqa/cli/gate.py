"""``clipiqa gate``: whether a second run over the same inputs got worse, for CI."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options.config import add_config
from .options.wording import tell

EPILOG = """\
Two score files over the same inputs: csv, jsonl or parquet, of `clipiqa score` or any other tool. Rows belong together
by their path below each run's common folder, without suffix, or by --key COLUMN. One line per question; with --out DIR
also gate.json, gate.xml (JUnit) and rows.csv. Exit code: 0 nothing got worse, 1 a mean is worse by more than
--min-delta and its 95 % interval excludes 0, or more rows lost an infinite score than chance allows, 2 bad input.

examples:
  clipiqa gate base.parquet new.parquet
  clipiqa gate v1.csv v2.csv --by quality sharpness --min-delta 0.01 --out gate/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("base", metavar="BASE", help="scores of the run to compare with")
    parser.add_argument("new", metavar="NEW", help="scores of the other run")
    add_config(parser)
    what = parser.add_argument_group("what to compare").add_argument
    what("--by", nargs="+", metavar="NAME", help="questions to compare (default: all that both have)")
    what("--key", metavar="COLUMN", help="column by which rows belong together (default: the paths)")
    what("--lower-better", nargs="*", metavar="NAME", help="a low value of these is good (no name: of all compared)")
    what("--higher-better", nargs="*", metavar="NAME", help="a high value of these is good (no name: of all compared)")
    what("--min-delta", type=float, default=0.0, metavar="X", help="a mean difference up to this is no change (0)")
    what("--skip-missing", action="store_true", help="leave out rows that only one run has a score of")
    results = parser.add_argument_group("results").add_argument
    results("--out", type=Path, metavar="DIR", help="folder for gate.json, gate.xml (JUnit) and rows.csv")
    results("--overwrite", action="store_true", help="replace files of these names in --out that no gate made")
    results("--quiet", "-q", action="store_true", help="print only what got worse")


def run(args: argparse.Namespace) -> int:
    """Compare the runs and print a line per question."""
    from ..comparison.gating import gate
    from ..files.names import one_line

    names = ("key", "min_delta", "skip_missing")
    options = {name: getattr(args, name) for name in names}
    for name in ("lower_better", "higher_better"):
        options[name] = getattr(args, name) == [] or getattr(args, name) or ()
    found = gate(args.base, args.new, columns=args.by, **options)
    if args.out is not None:
        found.save(args.out, overwrite=args.overwrite)
    for question in found.questions:
        if not args.quiet or question.verdict == "worse":
            print(one_line(question.line))
    for line in (*found.notes, *(f"left out: {line}" for line in found.left_out)):
        tell("gate", one_line(line))
    return 0 if found.passed else 1
