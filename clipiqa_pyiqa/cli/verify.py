"""Check the weights at hand against published scores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score what others published scores of, and compare. The scores hold for OpenAI's RN50 only. Exit code: 0 all "
        "that ran is ok, 1 any FAIL, 2 nothing was shown."
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], metavar="PATH",
        help="I01.BMP and i01_01_5.bmp, or folders to search for them, such as a checkout of piq or TID2013",
    )  # fmt: skip
    parser.add_argument("--backbone", default="RN50", metavar="NAME", help="RN50 (default)")
    parser.add_argument("--clip-weights", metavar="PATH|TAG", help="a checkpoint file, or an open_clip tag")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:N or mps")


def run(args: argparse.Namespace) -> int:
    """Print the table of expected and got."""
    from ..errors import ImageError
    from ..metric import CLIPIQA
    from ..verify import are_openai_rn50, exit_code, table, verify
    from .device import find_device

    for place in args.images:
        if not place.exists():
            raise ImageError(f"--images {place} does not exist: name a file or a folder.")
    device = find_device(args.device)
    metric = CLIPIQA(backbone=args.backbone, clip_weights=args.clip_weights).to(device).eval()
    weights = metric.clip.weights
    binding = are_openai_rn50(weights)
    checks = list(verify(metric, places=args.images or [Path.cwd()], binding=binding, device=device))
    print(f"weights: {weights.backbone}, {weights.short}, from {weights.source}: {weights.path}\n")
    print("\n".join(table(checks)))
    if not binding:
        print(
            "clipiqa verify: these weights are not OpenAI's RN50 (RN50.pt, SHA-256 afeb0e10…), for which alone the "
            "published scores hold: a difference says nothing about them, and is no FAIL.",
            file=sys.stderr,
        )
    return exit_code(checks)
