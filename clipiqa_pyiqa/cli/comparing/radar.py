"""The look and feel of images on radar charts (the paper's Fig. 1)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ...errors import CLIPIQAError
from ..options import experiment

EPILOG = """
Two charts, as in the paper's Fig. 1: look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and feel
(aesthetic, happy, natural, new, scary, complex; not with --backbone mini, which knows none of these words). With
--prompts, one chart of those. --out DIR receives radar.png, radar.svg and radar.html, a page on which images can be
switched on and off; --out NAME.png (.svg, .html) only that, with NAME.png.csv and NAME.png.json.

examples:
  clipiqa radar a.jpg b.jpg --out radar/
  clipiqa radar a.jpg --look --out a.svg
  clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/
"""

KINDS = (".png", ".svg", ".html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="IMAGE", help="images, up to 8")
    experiment.configure(parser, EPILOG, prompts="look and feel")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--look", action="store_true", help="only the look (quality perception)")
    only.add_argument("--feel", action="store_true", help="only the feel (abstract perception)")


def run(args: argparse.Namespace) -> int:
    """Score the images and draw the charts."""
    from ...figures.radar_charts import FEEL, LOOK, MOST, charts_of, named, radar
    from ...figures.radar_page import radar_page
    from ...figures.scores import score_images

    paths = experiment.find_images(args.paths, "radar", args.out)
    if len(paths) > MOST:
        raise CLIPIQAError(
            f"a radar chart of {len(paths)} images cannot be read: choose up to {MOST}, or use `clipiqa rank`."
        )
    if args.prompts and (args.look or args.feel):
        raise CLIPIQAError("--look and --feel name prompts, and so does --prompts: give one of them.")
    run, names = _output(args, paths)
    knows_feel = args.backbone.lower() != "mini"  # the small CLIP has seen none of those words
    columns = run.columns(
        [*(() if args.feel else LOOK), *(FEEL if args.feel or (knows_feel and not args.look) else ())]
    )
    if len(columns) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions, but {', '.join(columns)} came.")
    metric = run.metric(columns)
    with run.scoring(len(paths)) as options:
        scores = score_images(metric, paths, columns, **options)
    charts_of(scores)
    if run.out is not None:
        for name in names:
            if name.lower().endswith(".html"):
                run.text(name, radar_page(scores))
            else:
                run.picture(name, radar(scores))
    table = scores.frame.T
    table.columns = list(named(scores).values())
    table.insert(0, "question", table.index)
    return run.finish(table.reset_index(drop=True), scores.failed, scores.provenance)


def _output(args: argparse.Namespace, paths: Sequence[str]) -> tuple[experiment.Experiment, list[str]]:
    """The run, and the names of the charts to write: one if ``--out`` names a file, else each kind."""
    if args.out is None or args.out.suffix.lower() not in KINDS or args.out.is_dir():
        return experiment.Experiment(args), [f"radar{kind}" for kind in KINDS]
    if args.out.exists() and not (args.resume or args.overwrite):
        raise CLIPIQAError(f"{str(args.out)!r} exists already: pass --overwrite, or another --out.")
    if any(args.out.exists() and args.out.samefile(path) for path in paths):
        raise CLIPIQAError(f"--out {str(args.out)!r} is one of the images: name another file.")
    name, args.out = args.out.name, args.out.parent
    return experiment.Experiment(args, f"{name}.csv", f"{name}.json"), [name]
