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
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:N or mps")


def run(args: argparse.Namespace) -> int:
    """Print the table of expected and got."""
    if args.plus:
        return _plus(args)

    from ...errors import ImageError
    from ...metric import CLIPIQA
    from ...verification.scores import are_openai_rn50, exit_code, table, verify
    from ..options.device import find_device

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


def _plus(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ...errors import CLIPIQAError
    from ...verification.learned_prompts import check_data_sets, check_files, find_data_sets
    from ...verification.scores import Check, exit_code, table
    from ..options.device import find_device

    if args.images or args.clip_weights or args.backbone != "RN50":
        raise CLIPIQAError("--plus checks published files on OpenAI's weights: leave out --images and which CLIP.")
    if args.data_root is not None and not args.data_root.is_dir():
        raise CLIPIQAError(f"--data-root {args.data_root} is no folder: name the one that holds pyiqa's data sets.")
    device = find_device(args.device)
    files = list(check_files())
    for file in files:
        print(f"{file.name}: {file.verdict}: {file.said}")
    usable = {file.name: file.verdict == "ok" for file in files if file.verdict in ("ok", "differs")}
    checks: list[Check] = []
    if args.data_root is None:
        print("\nno correlations: pass --data-root DIR, the folder of pyiqa's data sets")
    elif usable:
        data_sets, missing = find_data_sets(args.data_root)
        if missing:
            print(f"\nnot run, as they are not below {args.data_root}: {', '.join(missing)} (see docs/verify.md)")
        with tqdm(unit="image", disable=None) as bar:

            def progress(name: str, done: int, total: int) -> None:
                bar.set_description(name, refresh=False)
                bar.total = total
                bar.update(done - bar.n)

            if data_sets:
                checks = list(
                    check_data_sets(list(usable), data_sets, binding=usable, progress=progress, device=device)
                )
        if checks:
            print("\n" + "\n".join(table(checks)))
    code = exit_code(checks)
    verdicts = {file.verdict for file in files} - {"not run"}
    if "FAIL" in verdicts:
        return 1
    return code if checks else 0 if verdicts == {"ok"} else 2
