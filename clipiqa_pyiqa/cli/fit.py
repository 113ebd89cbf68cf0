"""``clipiqa fit``: a metric that follows a few rated photos, in seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import counted
from .options.config import add_config
from .options.model import add_model_options, prepare_reading
from .options.scored_images import add_store_options, add_table_options, asked_table, loading, model_options, sayer

EPILOG = """\
The image tower stays frozen; a head on its stored features is fitted to the scores. Methods: affine (a line through the
zero-shot score), ridge (that line and a linear function of all features), cache (scores of similar rated photos, mixed
with the line), auto (by cross-validation, the simplest that is not clearly beaten). The prompts that `clipiqa train`
learns are a fourth way.

examples:
  clipiqa fit scores.csv --out head.safetensors
  clipiqa fit scores.csv --out head.safetensors --range 1 5 --own-scale --conformal 0.9
  clipiqa score photos/ --learned-prompts head.safetensors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipiqa fit``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_config(parser)
    add_table_options(parser)
    how = parser.add_argument_group("head").add_argument
    how("--method", default="auto", metavar="NAME", help="auto (default), affine, ridge or cache")
    how("--fit-on", default="features", metavar="WHAT", help="features (default), or stages: statistics of every stage")
    how("--prompts", metavar="PAIR", help="the question to begin from (default: quality)")
    how("--own-scale", action="store_true", help="score as in the table, in place of shares of its range, high is good")
    how("--conformal", type=float, metavar="X", help="add bounds between which a share X of true scores lies, as 0.9")
    how("--without-mini-photos", action="store_true", help="on mini, leave out the photos that mini was trained on")
    add_model_options(parser)
    run = parser.add_argument_group("run").add_argument
    run("--out", metavar="FILE", required=True, help="write the head here, as .safetensors")
    run("--overwrite", action="store_true", help="replace --out if it exists")
    run("--seed", type=int, default=123, metavar="N", help="of folds, and of photos that are held out (default: 123)")
    add_store_options(run)


def run(args: argparse.Namespace) -> int:
    """Fit, and print how well and the line that loads the head."""
    from ..clip.device import find_device
    from ..files.writing import check_output
    from ..learning.fitting import fit
    from ..metric import CLIPIQA
    from ..prompts.pairs import parse_prompt_argument

    check_output(args.out, overwrite=args.overwrite)
    prepare_reading(args.huge)
    device = find_device(args.device)
    if args.val_fraction is None:
        args.val_fraction = 0.0  # cross-validation needs no split
    table = asked_table(args, {}, args.seed, needed=("train",))
    prompts = None if args.prompts is None else parse_prompt_argument(args.prompts)
    result = fit(
        table, method=args.method, fit_on=args.fit_on, own_scale=args.own_scale, conformal=args.conformal,
        metric=CLIPIQA(prompts=prompts, **model_options(args)), device=device, features=args.features,
        workers=args.workers, seed=args.seed, say=sayer(args), without_mini_photos=args.without_mini_photos,
    )  # fmt: skip
    result.save(args.out)
    head, (low, high) = result.head, table.score_range
    print(f"{table.name}: fitted to {head.metadata['rated_photos']} rated photos, on {args.fit_on}")
    print("cross-validation  SROCC   PLCC    RMSE, of a range of 1")
    for name, found in result.cross_validation.items():
        print(f"{name:<16}  {found.srocc:.4f}  {found.plcc:.4f}  {found.rmse:.4f}")
    print(result.why)
    if head.half_width is not None:
        width = head.half_width * (high - low)
        print(f"intervals: ± {width:.4g} on a scale of {low:g} to {high:g}, for {args.conformal:g} of true scores")
    for split, found in result.held_out.items():
        covered = f", {result.coverage[split]:.3f} of them in their interval" if split in result.coverage else ""
        agreement = f"SROCC {found.srocc:.4f}, PLCC {found.plcc:.4f}, RMSE {found.rmse:.4f}"
        print(f"{split}, {counted(len(table.rows(split)), 'image')}: {agreement}{covered}")
    options = {key: value for key, value in model_options(args).items() if key not in ("backbone", "pos_embedding")}
    path = str(Path(args.out).expanduser().resolve())
    print(f"load it with:\n{loading('clipiqa+', options, pretrained_model_path=path)}")
    return 0
