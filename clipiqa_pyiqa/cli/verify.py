"""Check the weights at hand against published scores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .options.config import add_config


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score what others published scores of, and compare. The scores hold for OpenAI's RN50 only. Exit code: 0 all "
        "that ran is ok, 1 any FAIL, 2 nothing was shown."
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], metavar="PATH",
        help="I01.BMP, i01_01_5.bmp, or folders to search, such as a checkout of piq, TID2013 or OSEDiff",
    )  # fmt: skip
    parser.add_argument(
        "--plus", action="store_true",
        help="check the published prompts of CLIP-IQA+ instead: the files, and correlations on data sets that are here",
    )  # fmt: skip
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR",
        help="with --plus: the folder of pyiqa's data sets, of which livec, koniq10k, koniq10k-1024 and tid2013 count",
    )  # fmt: skip
    parser.add_argument("--backbone", default="RN50", metavar="NAME", help="RN50 (default)")
    parser.add_argument("--clip-weights", metavar="PATH|TAG", help="a checkpoint file, or an open_clip tag")
    add_config(parser)
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:N or mps")


def run(args: argparse.Namespace) -> int:
    """Print the table of expected and got."""
    if args.plus:
        return _plus(args)

    from ..clip.device import find_device
    from ..comparison.verification import verify
    from ..metric import CLIPIQA

    device = find_device(args.device)

    def metric() -> CLIPIQA:
        return CLIPIQA(backbone=args.backbone, clip_weights=args.clip_weights).to(device).eval()

    found = verify(metric, args.images, device=device)
    print(found)
    if not found.binding:
        print(
            "clipiqa verify: these weights are not OpenAI's RN50 (RN50.pt, SHA-256 afeb0e10…), for which alone the "
            "published scores hold: a difference says nothing about them, and is no FAIL.",
            file=sys.stderr,
        )
    return found.exit_code


def _plus(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..clip.device import find_device
    from ..comparison.verification import verify_learned_prompts
    from ..errors import CLIPIQAError

    if args.images or args.clip_weights or args.backbone != "RN50":
        raise CLIPIQAError("--plus checks published files on OpenAI's weights: leave out --images and which CLIP.")
    with tqdm(unit="image", disable=None, delay=1) as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar.set_description(name, refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        found = verify_learned_prompts(args.data_root, device=find_device(args.device), progress=progress)
    for file in found.files:
        print(f"{file.name}: {file.verdict}: {file.said}")
    if args.data_root is None:
        print("\nno correlations: pass --data-root DIR, the folder of pyiqa's data sets")
    if found.missing:
        print(f"\nnot run, as they are not below {args.data_root}: {', '.join(found.missing)} (see docs/weights.md)")
    if found.checks:
        print(f"\n{found}")
    return found.exit_code
