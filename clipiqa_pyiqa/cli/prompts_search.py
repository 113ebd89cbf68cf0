"""``clipiqa prompts search``: which words ask best, on images with scores that people gave."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import counted
from .options.config import add_config
from .options.model import add_model_options, prepare_reading
from .options.scored_images import add_store_options, add_table_options, asked_table, loading, model_options, sayer

if TYPE_CHECKING:
    from ..learning.word_search import Finding, Findings

EPILOG = """\
Ranks, and the ensemble, are chosen on the images of the split 'train'; the SROCC reported is that on the held-out ones
('test', or 'val' if there is no 'test'), which had no say. Each image is encoded once, into the store that `clipiqa
train` uses.

examples:
  clipiqa prompts search scores.csv
  clipiqa prompts search koniq10k --data-root datasets --out pairs.csv
  clipiqa prompts search scores.csv --candidates my_pairs.txt --templates '{} photo.' '{} picture.'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipiqa prompts search``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_config(parser)
    add_table_options(parser)
    what = parser.add_argument_group("what to try").add_argument
    what("--candidates", metavar="FILE", help="pairs, one 'positive|negative' a line (default: our list of antonyms)")
    what(
        "--templates", nargs="+", metavar="TEXT",
        help="wordings to put the words in (default: those in which our words make sentences; with --candidates '{}')",
    )  # fmt: skip
    what("--ensemble", type=int, default=5, metavar="N", help="most pairs in the ensemble (default: 5)")
    add_model_options(parser)
    run = parser.add_argument_group("run").add_argument
    run("--out", type=Path, metavar="FILE", help="write every candidate here, as CSV")
    run("--overwrite", action="store_true", help="replace --out if it exists")
    run("--top", type=int, default=10, metavar="N", help="pairs to show (default: 10)")
    run("--bootstrap", type=int, default=1000, metavar="N", help="resamples per interval (default: 1000)")
    run("--intervals", type=int, default=100, metavar="N", help="best pairs that get an interval (default: 100)")
    run("--seed", type=int, default=123, metavar="N", help="of the resamples, and of the split if there is none")
    add_store_options(run)


def run(args: argparse.Namespace) -> int:
    """Search, and print the best pairs, the ensemble, and how to use them."""
    from ..clip.device import find_device
    from ..files.writing import check_output
    from ..learning.word_search import search_prompts
    from ..learning.words import read_words
    from ..metric import CLIPIQA

    words = read_words(args.candidates) if args.candidates else None
    if args.out is not None:
        inputs = [path for path in (args.scores, args.candidates) if path is not None]
        check_output(args.out, overwrite=args.overwrite, inputs=inputs)
    prepare_reading(args.huge)
    device = find_device(args.device)
    table = asked_table(args, {}, args.seed, needed=("train",))
    findings = search_prompts(
        table, words=words, templates=args.templates, metric=CLIPIQA(**model_options(args)), device=device,
        features=args.features, workers=args.workers, seed=args.seed, say=sayer(args), ensemble=args.ensemble,
        intervals=max(args.intervals, args.top), bootstrap=args.bootstrap,
    )  # fmt: skip
    if args.out is not None:
        findings.save(args.out)
    print("\n".join(_report(args, findings, "test" if table.rows("test") else "val", table.name)))
    return 0


def _report(args: argparse.Namespace, findings: Findings, split: str, name: str) -> Iterator[str]:
    yield (
        f"{name}: {counted(len(findings.ranked), 'pair')}, chosen on "
        f"{counted(findings.chosen_on, 'image')}, reported on "
        f"{findings.held_out:,} held out (split {split!r}), which had no say"
    )
    if findings.unknown:
        yield f"left out: {counted(findings.unknown, 'pair')} with words that {args.backbone} never saw"
    yield ""
    rows: list[tuple[str, ...]] = [
        ("", "positive", "negative", "SROCC chosen by", "SROCC held out", "95 % interval", "PLCC held out")
    ]
    rows += [_row(str(rank), found) for rank, found in enumerate(findings.ranked[: args.top], start=1)]
    rows.append(_row("paper", findings.paper))
    mean = f"mean of {len(findings.ensemble.candidates)}"
    rows.append(("mean", mean, "", *_numbers(findings.ensemble)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "The best pair:"
    yield from _usage(args, findings.ranked[0])
    if len(findings.ensemble.candidates) > 1:
        yield f"The ensemble, the {mean} pairs:"
        yield from _usage(args, findings.ensemble)
    else:
        yield "No second pair helps: the ensemble is the best pair alone."
    if args.out is not None:
        yield f"Every pair is in {args.out}."


def _usage(args: argparse.Namespace, found: Finding) -> Iterator[str]:
    from ..learning.word_search import as_prompts

    yield "  " + loading("clipiqa", model_options(args), prompts=as_prompts(found.candidates))


def _row(label: str, found: Finding) -> tuple[str, ...]:
    pair = found.candidates[0].pair
    return (label, pair.positive, pair.negative, *_numbers(found))


def _numbers(found: Finding) -> tuple[str, ...]:
    estimate = found.srocc
    interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    return (f"{found.chosen_by:.4f}", f"{estimate.value:.4f}", interval, f"{found.plcc:.4f}")
