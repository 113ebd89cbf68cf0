"""Whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps (the paper's Fig. 4)."""

from __future__ import annotations

import argparse

from .options import experiment

EPILOG = """
Every picture is changed with PIL in steps, at each input scale, and every version is scored once. The table holds, per
change and scale, Spearman's correlation of score with step, over pictures. --out DIR receives sweep.csv (every score),
spearman.csv (every picture), crosstalk.csv (which question answers which change), sweep.png (the curves, with the
middle 80 % of the pictures as a band) and example.png (one picture in all steps).

examples:
  clipiqa sweep koniq10k/1024x768 --sample 200 --out sweep/
  clipiqa sweep photos/ --changes brightness sharpness --steps 15 --scales 1 0.5 0.25 --out sweep/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="IMAGE", help="images, folders or quoted globs")
    experiment.configure(parser, EPILOG, prompts="quality, besides each change's own")
    how = parser.add_argument_group("what to change").add_argument
    how("--changes", nargs="+", metavar="NAME", help="default: brightness noisiness colorfulness sharpness contrast")
    how("--steps", type=int, default=9, metavar="N", help="from least to most of the attribute (default: 9)")
    how("--scales", type=float, nargs="+", default=[1.0, 0.5], metavar="X", help="input scales (default: 1 0.5)")
    how("--sample", type=int, metavar="N", help="only that many of the images, chosen at random")
    how("--seed", type=int, default=0, metavar="N", help="of the choice and of the noise (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Change, score, draw."""
    from ..experiments.attribute_sweep import sweep

    options = {name: getattr(args, name) for name in ("steps", "scales", "sample", "seed")}
    options |= {"changes": args.changes} if args.changes else {}
    return experiment.run(args, sweep, args.paths, prompts=experiment.prompts(args), **options)
