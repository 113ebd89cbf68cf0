"""Measure speed and memory on this machine against pyiqa's built-in."""

from __future__ import annotations

import argparse
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure speed and memory on this machine against pyiqa's built-in CLIPIQA, on the same weights, taking turns. "
        "The table shows each target beside what was measured; a missed one is no error."
    )
    parser.add_argument("--loss", action="store_true", help="measure the training loss (forward and backward) instead")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="torch's threads (default: 2)")
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "bf16", "fp16"), default=["fp32", "bf16"], metavar="KIND",
        help="of our side: fp32, bf16, fp16 (default: fp32 bf16); the other side is fp32",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:N or mps")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, and a folder of 40 photos instead of 200")
    parser.add_argument("--only", metavar="TEXT", help="only the rows whose name contains this, such as '1×224²'")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--clip-weights", metavar="PATH|TAG", help="RN50 weights; default: OpenAI's, found as usual")
    weights.add_argument(
        "--seeded-weights", action="store_true", help="random RN50 weights: times do not depend on values"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ...bench.rows import LOSS_ROWS, SCORE_ROWS, measured
    from ...bench.setup import set_up
    from ...bench.subject import largest_difference
    from ...bench.table import machine, render
    from ...bench.timing import QUICK, THOROUGH
    from ...errors import CLIPIQAError
    from ..options.device import find_device

    if args.threads < 1:
        raise CLIPIQAError(f"--threads {args.threads}: at least one thread is needed.")
    rows = [row for row in (LOSS_ROWS if args.loss else SCORE_ROWS) if args.only is None or args.only in row.work]
    if not rows:
        raise CLIPIQAError(f"--only {args.only!r} leaves nothing to measure: no row's name contains it.")
    device, effort = find_device(args.device), QUICK if args.quick else THOROUGH
    with set_up(args.clip_weights, args.seeded_weights, device, args.precision, effort, args.threads) as setup:
        for name, value in machine(device, args.threads, setup.weights).items():
            print(f"{name}: {value}")
        difference = largest_difference(setup.net(setup.mine), setup.net(setup.theirs), setup.images(2, 384, 512))
        print(f"{setup.note}; scores of 2×384×512 differ by {difference:.1e}")
        print("times: least / median, in turns; ratio: median over the rounds\n", flush=True)
        for line in render(measured(rows, setup, _announce)):
            print(line, flush=True)
    return 0


def _announce(work: str) -> None:
    print(f"clipiqa bench: measuring {work} …", file=sys.stderr, flush=True)
