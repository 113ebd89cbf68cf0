"""``clipiqa map``: where photos look good and where they do not."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError
from .options.config import add_config
from .options.model import add_image_options, add_model_options, image_limits, prepare_reading
from .options.tables import aligned
from .options.wording import tell

if TYPE_CHECKING:
    from ..maps.results import PhotoMaps

EPILOG = """\
For each photo, --out DIR receives a picture (the photo, and each question's local scores in colour over it) and
PHOTO.npz with the numbers; --html adds maps.html, one page to look around in. A place is a square of 32 px (a patch on
vision transformers) that is asked what the whole photo is asked; docs/maps.md says what that means, and what not.
Exit code: 0 all mapped, 1 some photos failed, 2 bad input, 130 interrupted.

examples:
  clipiqa map photos/ --prompts sharpness noisiness quality --out maps/ --html
  clipiqa map portrait.jpg --prompts sharpness --window 96 --stride 24 --out maps/ --pictures pdf
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("paths", nargs="+", metavar="PHOTO", help="files, folders or quoted globs")
    add_config(parser)
    what = parser.add_argument_group("what to ask").add_argument
    what(
        *("--prompts", "-p"), nargs="+", action="extend", metavar="PROMPT", default=[],
        help="named pairs (see `clipiqa prompts`), presets, or 'positive|negative' (default: quality)",
    )  # fmt: skip
    what("--template", metavar="TEXT", help="wording of the named pairs, such as 'A photo of {}.'")
    what(
        "--learned-prompts", metavar="FILE|NAME",
        help="learned prompts: a file of `clipiqa train`, or clipiqa+, clipiqa+_rn50_512, clipiqa+_vitL14_512",
    )  # fmt: skip
    where = parser.add_argument_group("how fine").add_argument
    where("--no-smooth", action="store_true", help="leave places as they are, without the mean of 3×3")
    where("--scale", type=float, default=1.0, metavar="X", help="enlarge photos by this factor first (1 to 8)")
    where("--window", type=int, metavar="PX", help="score squares of this side as photos of their own: exact, slow")
    where("--stride", type=int, metavar="PX", help="from window to window (default: half the window)")
    add_model_options(parser)
    parser.set_defaults(backbone=None, pos_embedding=None)  # or what prompts were learned on
    add_image_options(parser)
    results = parser.add_argument_group("results").add_argument
    results("--out", type=Path, metavar="DIR", help="folder for pictures and numbers (default: only a table)")
    kinds: Any = {"choices": ("png", "svg", "pdf"), "default": "png"}
    results("--pictures", **kinds, help="of the pictures: png (default), svg or pdf")
    results("--format", **kinds, dest="pictures", help=argparse.SUPPRESS)  # its former name
    results("--html", action="store_true", help="also write maps.html, a page that shows the scores of every place")
    results("--overwrite", action="store_true", help="replace what is in --out")
    results("--quiet", "-q", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace) -> int:
    """Map the photos, print what the maps come to, and say which photos were left out."""
    from ..prompts.pairs import parse_prompt_argument

    if args.learned_prompts is not None and (args.prompts or args.template):
        raise CLIPIQAError("--learned-prompts is a question of its own: leave out --prompts and --template.")
    from ..clip.device import find_device
    from ..maps.photos import draw_maps
    from .options.model import build_learned, build_metric
    from .options.progress import Bar

    prepare_reading(args.huge)
    device = find_device(args.device)
    learned = args.learned_prompts is not None
    prompts = None if learned else list(map(parse_prompt_argument, args.prompts)) or "quality"
    with Bar(hidden=args.quiet, unit="photo") as bar:
        found = draw_maps(
            lambda: build_learned(args, device) if learned else build_metric(args, None, device),
            args.paths, prompts, template=args.template, smooth=False if args.no_smooth else None,
            scale=args.scale, window=args.window, stride=args.stride, out=args.out, format=args.pictures,
            html=args.html, overwrite=args.overwrite, progress=partial(bar.show, "maps"),
            device=device, batch_size=args.batch_size, workers=args.workers, **image_limits(args),
        )  # fmt: skip
    if found.maps:
        print(_table(found))
    said = list(found.failed.values())
    if args.out is not None and found.maps and not args.quiet:
        said.append(f"results are in {args.out}")
    for words in said:
        tell("map", words)
    return 1 if found.failed else 0


def _table(found: PhotoMaps) -> str:
    """A row for each photo and question."""
    from ..files.names import one_line, printable

    rows = [["photo", "question", "score", "worst place", "10th percentile", "below 0.5"]]
    for one in found.maps:
        for question, score, (worst, tenth, share) in zip(one.questions, one.score, one.statistics, strict=True):
            numbers = [f"{score:.4f}", f"{worst:.4f}", f"{tenth:.4f}", f"{100 * share:.0f} %"]
            rows.append([one_line(printable(one.path)), question.name, *numbers])
    return "\n".join(aligned(rows, [True, True, False, False, False, False]))
