"""Whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps (the paper's Fig. 4)."""

from __future__ import annotations

import argparse
import random

from ...errors import CLIPIQAError
from ..options import experiment
from ..options.model import positive

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
    how("--steps", type=positive, default=9, metavar="N", help="from least to most of the attribute (default: 9)")
    how("--scales", type=float, nargs="+", default=[1.0, 0.5], metavar="X", help="input scales (default: 1 0.5)")
    how("--sample", type=positive, metavar="N", help="only that many of the images, chosen at random")
    how("--seed", type=int, default=0, metavar="N", help="of the choice and of the noise (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Change, score, draw."""
    from ...figures.attribute_sweep import sweep, versions_of_one
    from ...figures.changes import CHANGES
    from ...figures.sweep_pictures import curves, example
    from ..options.model import image_limits

    paths = experiment.find_images(args.paths, "sweep", args.out)
    if args.sample is not None:
        if args.sample > len(paths):
            raise CLIPIQAError(f"--sample {args.sample}, but there are only {len(paths)} images: ask for fewer.")
        paths = sorted(random.Random(args.seed).sample(sorted(paths), args.sample))
    changes = args.changes or list(CHANGES)
    run = experiment.Experiment(args)
    others = run.columns(["quality"])
    metric = run.metric(others)
    with run.scoring(len(paths) * versions_of_one(changes, args.steps, args.scales)) as options:
        found = sweep(
            metric, paths, changes=changes, prompts=[pair for pairs in others.values() for pair in pairs],
            template=args.template, steps=args.steps, scales=args.scales, seed=args.seed, **options,
        )  # fmt: skip
    run.table("sweep", found.frame)
    run.table("spearman", found.spearman())
    run.table("crosstalk", found.crosstalk())
    if run.out is not None:
        run.picture("sweep.png", curves(found))
        run.picture("example.png", example(found, limits=image_limits(args)))
    return run.finish(found.summary(), found.failed, found.provenance)
