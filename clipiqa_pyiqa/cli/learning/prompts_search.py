"""``clipiqa prompts search``: which words ask best, on images with scores that people gave."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..options.model import add_model_options, positive
from ..options.scored_images import (
    add_store_options,
    add_table_options,
    loading,
    model_options,
    read_table,
    say,
    stored,
)

if TYPE_CHECKING:
    from ...learning.word_search import Candidate, Finding, Findings

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
    add_table_options(parser)
    what = parser.add_argument_group("what to try").add_argument
    what("--candidates", metavar="FILE", help="pairs, one 'positive|negative' a line (default: our list of antonyms)")
    what(
        "--templates", nargs="+", metavar="TEXT",
        help="wordings to put the words in (default: the paper's three; with --candidates '{}', the words as they are)",
    )  # fmt: skip
    what("--ensemble", type=positive, default=5, metavar="N", help="most pairs in the ensemble (default: 5)")
    add_model_options(parser)
    run = parser.add_argument_group("run").add_argument
    run("--out", type=Path, metavar="FILE", help="write every candidate here, as CSV")
    run("--overwrite", action="store_true", help="replace --out if it exists")
    run("--top", type=positive, default=10, metavar="N", help="pairs to show (default: 10)")
    run("--bootstrap", type=positive, default=1000, metavar="N", help="resamples per interval (default: 1000)")
    run("--intervals", type=positive, default=100, metavar="N", help="best pairs that get an interval (default: 100)")
    run("--seed", type=int, default=123, metavar="N", help="of the resamples, and of the split if there is none")
    add_store_options(run)


def run(args: argparse.Namespace) -> int:
    """Search, and print the best pairs, the ensemble, and how to use them."""
    import torch
    from tqdm import tqdm

    from ...learning.feature_store import WHOLE, FeatureStore
    from ...learning.word_search import SearchError, make_candidates, search, write_findings
    from ...learning.words import AS_IS, TEMPLATES, known_words, read_words
    from ...metric import CLIPIQA
    from ..options.device import find_device

    words = read_words(args.candidates) if args.candidates else known_words()
    candidates = make_candidates(words, args.templates or ((AS_IS,) if args.candidates else TEMPLATES))
    if args.out is not None and args.out.exists() and not args.overwrite:
        raise SearchError(f"{str(args.out)!r} exists: pass --overwrite to replace it, or name another file.")
    if args.out is not None and not args.out.parent.is_dir():
        raise SearchError(f"there is no folder {str(args.out.parent)!r} for --out: make it first.")
    device = find_device(args.device)
    table = read_table(args, {}, args.seed, needed=("train",))
    held_out = table.rows("test") or table.rows("val")
    metric = CLIPIQA(**model_options(args)).to(device).eval()
    if table.skipped:
        say(args, f"{len(table.skipped)} missing images are left out")
    store = FeatureStore(metric, args.features)
    features = stored(args, store, table.paths, [(WHOLE,)] * len(table.paths), "all splits", device)
    with tqdm(total=1 + len(candidates), unit="pair", disable=True if args.quiet else None) as bar:
        findings = search(
            metric, features[:, 0].to(device), torch.tensor(table.targets), held_out, candidates,
            ensemble=args.ensemble, intervals=max(args.intervals, args.top), bootstrap=args.bootstrap, seed=args.seed,
            progress=bar.update,
        )  # fmt: skip
    split = "test" if table.rows("test") else "val"
    said = {
        **{"data_set": table.name, "chosen_on": f"{findings.chosen_on} images"},
        **{"held_out": f"{findings.held_out} images ({split})", "intervals": f"95 %, {args.bootstrap} resamples"},
        **{key: value for key, value in metric.provenance().items() if key not in ("metric", "prompts", "aggregate")},
        **{"seed": args.seed, "ensemble_srocc_held_out": _estimate(findings)},
    }
    if args.out is not None:
        write_findings(findings, args.out, said)
    print("\n".join(_report(args, findings, split, table.name)))
    return 0


def _estimate(findings: Findings) -> str:
    estimate = findings.ensemble_srocc
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def _report(args: argparse.Namespace, findings: Findings, split: str, name: str) -> Iterator[str]:
    yield (
        f"{name}: {len(findings.ranked):,} pairs, chosen on {findings.chosen_on:,} images, reported on "
        f"{findings.held_out:,} held out (split {split!r}), which had no say"
    )
    yield ""
    rows: list[tuple[str, ...]] = [
        ("", "positive", "negative", "SROCC chosen by", "SROCC held out", "95 % interval", "PLCC held out")
    ]
    rows += [_row(str(rank), found) for rank, found in enumerate(findings.ranked[: args.top], start=1)]
    rows.append(_row("paper", findings.paper))
    numbers = (findings.ensemble_chosen_by, findings.ensemble_srocc.value)
    interval = f"[{findings.ensemble_srocc.low:.4f}, {findings.ensemble_srocc.high:.4f}]"
    label = f"mean of {len(findings.ensemble)}"
    rows.append(("mean", label, "", *(f"{value:.4f}" for value in numbers), interval, f"{findings.ensemble_plcc:.4f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "The best pair:"
    yield from _usage(args, [findings.ranked[0].candidate])
    if len(findings.ensemble) > 1:
        yield f"The ensemble, the mean of {len(findings.ensemble)} pairs:"
        yield from _usage(args, list(findings.ensemble))
    else:
        yield "No second pair helps: the ensemble is the best pair alone."
    if args.out is not None:
        yield f"Every pair is in {args.out}."


def _usage(args: argparse.Namespace, candidates: list[Candidate]) -> Iterator[str]:
    from ...learning.word_search import as_prompts

    yield "  " + loading("clipiqa", model_options(args), prompts=as_prompts(candidates))


def _row(label: str, found: Finding) -> tuple[str, ...]:
    pair, estimate = found.candidate.pair, found.srocc
    interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    numbers = (f"{found.chosen_by:.4f}", f"{estimate.value:.4f}", interval, f"{found.plcc:.4f}")
    return (label, pair.positive, pair.negative, *numbers)
