"""Show where every checkpoint would come from, or fill a folder with them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.names import plain_lines
from .options.config import add_config
from .options.tables import aligned

if TYPE_CHECKING:
    from ..weights.inventory import FileAtHand

_HEADER = ("FILE", "STATE", "SIZE", "SHA-256", "WHERE")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show for every backbone and prompt file where it would come from, its size, hash and state; nothing is "
        "downloaded. With --download-to, fill a folder for CLIPIQA_WEIGHTS_DIR."
    )
    parser.add_argument("--download-to", metavar="DIR", type=Path, help="put the files into this folder")
    parser.add_argument(
        "--backbone",
        nargs="+",
        default=[],
        metavar="NAME[:TAG]",
        help="only these backbones, such as RN50 or ViT-B/32:laion2b_s34b_b79k",
    )
    parser.add_argument(
        "--prompt-files", action="store_true", help="only the published prompt files (with --backbone: also)"
    )
    former = "--prompts"
    parser.add_argument(former, action="store_true", dest="prompt_files", help=argparse.SUPPRESS)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table, or a line for each file as it comes into the folder."""
    from ..weights.inventory import weights_at_hand

    filling = args.download_to is not None
    found = weights_at_hand(
        args.backbone,
        prompts=args.prompt_files,
        download_to=args.download_to,
        report=_say if filling else lambda file: None,
    )
    if not filling:
        print("\n".join(aligned([_HEADER, *map(_row, found.files)])))
    return 0 if found.complete else 1


def _row(file: FileAtHand) -> tuple[str, ...]:
    size = "-" if file.size is None else f"{file.size / 1e6:.1f} MB"
    return file.title, file.state, size, file.sha256[:12] or "-", file.where


def _say(file: FileAtHand) -> None:
    if file.state == "failed":
        print(f"clipiqa weights: {file.title}: {plain_lines(file.where)}", file=sys.stderr)
    else:
        what = "" if file.state == "copied" else f"{file.state}, "
        print(f"{file.title}: {what}{file.where}", flush=True)
