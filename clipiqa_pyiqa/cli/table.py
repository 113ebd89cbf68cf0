"""``clipiqa table``: several methods in one table, as papers print it."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Iterable

from ..errors import CLIPIQAError
from .options.config import add_config
from .options.model import add_decoding_options, prepare_reading
from .options.progress import Bar
from .options.signals import on_interrupt
from .options.wording import tell

FORMATS = ("table", "csv", "markdown", "latex")
EPILOG = """\
A method is NAME=FOLDER; files belong together by their path within the folder, without suffix. Where names differ, give
quoted patterns, which pair by what * matches. If every file lies in a sub-folder, the sub-folders are test sets, each
with columns of its own. A metric is a name of pyiqa's or NAME:KEY=VALUE,… as for `clipiqa compare`; psnr-y and ssim-y
are those of super-resolution papers, psnr-rgb and ssim-rgb are on RGB. clipiqa asks the paper's one prompt pair; to
compare with papers that took CLIPIQA from pyiqa, ask its five (clipiqa=clipiqa:prompts=pyiqa), or name a --protocol
(`clipiqa protocols` lists them; a metric of the same label takes the place of the protocol's). With --out, scores are
kept as they come, and --resume goes on with them; table.md, table.tex, table.csv, images.csv and report.html are
written at the end. Exit code: 0 all scored, 1 a metric failed, images were left out, or a published number or a lock
differs, 2 bad usage, 130 interrupted. --expect takes a CSV file (a row per method, columns named by label) or 'METHOD:
LABEL=NUMBER LABEL=NUMBER'.

examples:
  clipiqa table --methods bicubic=out/bicubic ours=out/ours --reference gt/ -m psnr-y ssim-y niqe clipiqa --out table/
  clipiqa table --methods bm3d='out/*_bm3d.png' ours='out/*_ours.png' -m piqe clipiqa:backbone=mini --baseline bm3d
  clipiqa table --methods ours=out/ours hat=out/hat --reference gt/ --protocol ntire --format latex
  clipiqa table --methods ours=out/ours --reference gt/ --protocol osediff --expect 'ours: psnr=27.92' --explain
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_config(parser)
    what = parser.add_argument_group("what to compare").add_argument
    what("--methods", nargs="+", action="extend", metavar="NAME=FOLDER", help="methods, as above")
    what("-m", "--metrics", nargs="+", action="extend", metavar="METRIC", help="metrics, as above")
    what("--reference", metavar="FOLDER", help="the true pictures, for psnr-y, ssim-y, lpips, dists, fid, …")
    what("--baseline", metavar="NAME", help="the method that the others are compared with (default: the first)")
    what("--protocol", metavar="NAME", help="metrics that others compute, and how; see `clipiqa protocols`")
    what("--value", nargs="+", action="extend", metavar="NAME=NUMBER", help="a number for the protocol's formula")
    what(
        "--expect", nargs="+", action="extend", metavar="PAPER", help="published numbers: a CSV file, or a quoted text"
    )
    what("--explain", action="store_true", help="try what may explain a published number that differs")
    what("--lock", metavar="FILE", help="write all that the numbers depend on")
    what("--locked", metavar="FILE", help="compute a lock's numbers again, and say what differs")
    what("--crop-border", type=int, metavar="PX", help="cut off each side before full-reference metrics (default: 0)")
    what("--skip-missing", action="store_true", help="leave out pictures that are not in every folder")
    what("--one-set", action="store_true", help="all pictures are one test set, also where they lie in sub-folders")
    how = parser.add_argument_group("how").add_argument
    how("--seed", type=int, default=0, metavar="N", help="of metrics that draw at random (default: 0)")
    how("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or mps; default: cuda if there is one, else cpu")
    how("--batch-size", type=int, default=8, metavar="N", help="images that share a pass (default: 8)")
    add_decoding_options(how)
    how("--workers", type=int, metavar="N", help="decoding threads (default: one per core, up to 8)")
    how("--trust-weights", action="store_true", help="load files and URLs of metrics even if they could run code")
    results = parser.add_argument_group("results").add_argument
    results("--out", metavar="DIR", help="folder for scores, tables and page (default: only a table)")
    results("--resume", action="store_true", help="go on with the scores that an earlier run left in --out")
    results("--overwrite", action="store_true", help="drop the scores in --out first")
    results("--format", choices=FORMATS, default="table", help="of standard output (default: table)")
    results("--describe", action="store_true", help="print a sentence per metric for a paper's appendix instead")
    results("--no-report", action="store_true", help="with --out: no HTML page")
    results("--quiet", "-q", action="store_true", help="no progress bar")


def _numbers(given: Iterable[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise CLIPIQAError(f"--value must be NAME=NUMBER; got {text!r}.") from None
    return found


def run(args: argparse.Namespace) -> int:
    """Score the methods and print their table."""
    if not args.methods:
        raise CLIPIQAError("no method is given: name some with --methods NAME=FOLDER, or in a --config file.")
    if args.resume and args.overwrite:
        raise CLIPIQAError("--resume keeps the scores in --out and --overwrite drops them: give one of the two.")
    if (args.resume or args.overwrite) and not args.out:
        raise CLIPIQAError("--resume and --overwrite need --out, the folder with the scores.")
    from ..clip.device import find_device
    from ..comparison.table.run import table

    prepare_reading(args.huge)
    logging.getLogger("clipiqa_pyiqa").setLevel(logging.ERROR if args.quiet else logging.INFO)
    names = (
        *("reference", "baseline", "protocol", "crop_border", "skip_missing", "out", "batch_size", "workers"),
        *("seed", "resume", "overwrite", "trust_weights", "expect", "explain", "lock", "locked"),
    )
    hint = f"--out {args.out} --resume goes on from here" if args.out else "nothing was kept, as there is no --out"
    with on_interrupt(hint), Bar(hidden=args.quiet) as bar:
        found = table(
            args.methods, args.metrics, by_folder=not args.one_set, values=_numbers(args.value or ()),
            device=find_device(args.device),
            progress=bar.show, settings={"command": f"clipiqa {shlex.join(sys.argv[1:])}"},
            **{name: getattr(args, name) for name in names},
        )  # fmt: skip
    if args.out:
        found.save(args.out, report=not args.no_report)  # first, as whoever reads the table may leave
    print(found.describe(args.format) if args.describe else found.table(args.format), end="")
    for change in found.changed or ():
        tell("table", str(change))
    if args.out:
        tell("table", f"results are in {args.out}")
    return 0 if found.complete and found.agrees else 1
