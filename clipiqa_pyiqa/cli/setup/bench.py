"""Measure speed and memory on this machine against pyiqa's built-in."""

from __future__ import annotations

import argparse
import sys

from ..options.config import add_config


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
    add_config(parser)
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--clip-weights", metavar="PATH|TAG", help="RN50 weights; default: OpenAI's, found as usual")
    weights.add_argument(
        "--seeded-weights", action="store_true", help="random RN50 weights: times do not depend on values"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ...bench.rows import benchmark
    from ...clip.device import find_device

    for line in benchmark(
        loss=args.loss, precisions=args.precision, device=find_device(args.device), threads=args.threads,
        quick=args.quick, only=args.only or "", clip_weights=args.clip_weights, seeded_weights=args.seeded_weights,
        announce=_announce,
    ):  # fmt: skip
        print(line, flush=True)
    return 0


def _announce(work: str) -> None:
    print(f"clipiqa bench: measuring {work} …", file=sys.stderr, flush=True)
