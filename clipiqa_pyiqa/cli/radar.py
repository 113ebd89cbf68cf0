"""The look and feel of images on radar charts (the paper's Fig. 1)."""

from __future__ import annotations

import argparse

from ..errors import CLIPIQAError
from .options import experiment

EPILOG = """
Two charts, as in the paper's Fig. 1: look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and feel
(aesthetic, happy, natural, new, scary, complex); what the CLIP never saw the words of, as --backbone mini all of the
feel, is left out. With --prompts, one chart of those. --out DIR receives radar.png, radar.svg and radar.html, a page on
which images can be switched on and off; --out NAME.png (.svg, .pdf, .html) only that, and NAME.png.csv and .json.

examples:
  clipiqa radar a.jpg b.jpg --out radar/
  clipiqa radar a.jpg --look --out a.svg
  clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="IMAGE", help="images, up to 8")
    experiment.configure(parser, EPILOG, prompts="look and feel")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--look", action="store_true", help="only the look (quality perception)")
    only.add_argument("--feel", action="store_true", help="only the feel (abstract perception)")


def run(args: argparse.Namespace) -> int:
    """Score the images and draw the charts."""
    from ..experiments.radar_chart import radar

    if ((args.prompts or args.look) and args.feel) or (args.prompts and args.look):
        raise CLIPIQAError("--look and --feel name prompts, and so does --prompts: give one of them.")
    kind = "look" if args.look else "feel" if args.feel else None
    return experiment.run(args, radar, args.paths, experiment.prompts(args, None), kind=kind)
