"""``clipiqa score``: score photos, and write one row each."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import CLIPIQAError, ImageError
from ..scoring.result_files import FORMATS, Output, ResultWriter, format_of, write_to
from . import score_shards
from .options.config import add_config
from .options.model import add_image_options, add_model_options, image_limits, prepare_reading
from .options.signals import interrupts_kept, on_interrupt
from .options.wording import tell

if TYPE_CHECKING:
    from ..prompts.pairs import Columns
    from ..scoring.score import ScoringRun

EPILOG = """\
One score in [0, 1] per image and prompt, high is good, in the order of the paths. A file that cannot be scored is
reported, gets a row that says why, and the rest is scored. Exit code: 0 all scored, 1 some files failed, 2 bad usage
or nothing to score, 130 interrupted.

examples:
  clipiqa score photos/ holiday.jpg
  clipiqa score photos/ --prompts quality sharpness 'Crisp photo.|Hazy photo.' --out scores.csv
  find . -name '*.png' -print0 | clipiqa score -0 - --out scores.parquet --resume
  clipiqa score 'shards/{000..099}.tar' --keep caption --out results/
  clipiqa score --merge results/ --out scores.parquet
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH",
        help="file, folder (with its sub-folders), quoted glob or pattern of shards, Parquet file, s3://…, or - for a "
        "list on stdin",
    )
    add(
        "-0", "--null", action="store_true", help="names on stdin end with a NUL byte (find -print0), not with the line"
    )
    add_config(parser)
    what = parser.add_argument_group("what to ask").add_argument
    what(
        *("--prompts", "-p"), nargs="+", action="extend", metavar="PROMPT", default=[],
        help="named pairs (see `clipiqa prompts`), presets, or 'positive|negative': one column each (default: quality)",
    )  # fmt: skip
    what("--all-attributes", action="store_true", help="one column for every named pair whose words the CLIP knows")
    what("--template", metavar="TEXT", help="wording of the named pairs, such as 'A photo of {}.'")
    what(
        "--learned-prompts", metavar="FILE|NAME",
        help="learned prompts: a file of `clipiqa train`, or clipiqa+, clipiqa+_rn50_512, clipiqa+_vitL14_512",
    )  # fmt: skip
    what(
        "--map-stats", action="store_true",
        help="beside each score, of its map: worst place, 10th percentile, share of places below 0.5",
    )  # fmt: skip
    add_model_options(parser)
    parser.set_defaults(backbone=None, pos_embedding=None)  # or what prompts were learned on
    add_image_options(parser)
    add(
        "--damaged", choices=("refuse", "keep"), default="refuse",
        help="JPEGs with lost or overwritten bytes inside: name them (default), or score them as they are",
    )  # fmt: skip
    score_shards.add_shard_options(parser)
    results = parser.add_argument_group("results").add_argument
    results("--format", choices=FORMATS, help="default: by the suffix of --out; a table on standard output")
    results("--out", type=Path, metavar="FILE|DIR", help="write here instead of standard output")
    results("--resume", action="store_true", help="go on with the rows that an interrupted run left in --out")
    results("--overwrite", action="store_true", help="replace --out if it exists")
    results("--quiet", "-q", action="store_true", help="no progress bar and no summary")
    results("--progress", action="store_true", help="show the progress bar even if standard error is no terminal")


def run(args: argparse.Namespace) -> int:
    """Score what the arguments ask for."""
    from ..clip.device import find_device
    from ..images.formats import skipped_note
    from ..images.reader import check_limits
    from ..sources.finding import find_shards
    from .options.model import build_learned, build_metric, check_resume

    if args.merge is not None:
        return score_shards.merge(args)
    by_shard = score_shards.is_folder(args.out, args.format)
    if not args.paths:
        raise ImageError("no PATH given: name files or folders (before --prompts, or behind a --).")
    check_resume(args, "file")
    if args.learned_prompts is not None and (args.prompts or args.all_attributes or args.template):
        raise CLIPIQAError(
            "--learned-prompts is a question of its own: leave out --prompts, --all-attributes and --template."
        )
    check_limits(args.max_side, args.max_pixels, args.damaged)
    if not by_shard and (args.keep or args.embeddings or args.part or args.engine != "local"):
        raise CLIPIQAError(
            "--keep, --embeddings, --part and --engine ray are for results by shard: give --out a folder, DIR/."
        )
    if args.engine == "local" and any(
        each is not None for each in (args.actors, args.gpus_per_actor, args.cpus_per_actor)
    ):
        raise CLIPIQAError("--actors, --gpus-per-actor and --cpus-per-actor are Ray's: add --engine ray.")
    output = None
    if args.out and not by_shard:
        output = Output(args.out, args.format or format_of(args.out), args.resume, args.overwrite)
    if args.out is None and args.format == "parquet":
        raise CLIPIQAError("parquet results are not text: name a file with --out.")
    found = find_shards(
        args.paths, null_separated=args.null, keep=args.keep, image_column=args.image_column, features=args.embeddings
    )
    if found.is_empty:
        raise ImageError(f"{found.problem}: there is nothing to score.")

    # Here and below what imports torch, once everything cheap is known to be right.
    from ..scoring.rows import printable
    from ..scoring.score import score_paths

    prepare_reading(args.huge)
    device = find_device(args.device)
    columns = None if args.learned_prompts is not None else _columns(args)
    metric = build_learned(args, device) if columns is None else build_metric(args, columns, device)
    with on_interrupt("--resume goes on from here") if output else contextlib.nullcontext():
        if by_shard:
            return score_shards.run(args, found, metric, columns, device)
        run = score_paths(
            metric, found.items, columns, device=device, batch_size=args.batch_size, workers=args.workers,
            damaged=args.damaged, map_stats=args.map_stats, out=output, **image_limits(args),
        )  # fmt: skip
        names = [printable(item.name) for item in found.items] if run.names is None else run.names
        writer = None if output else write_to(_raw_stdout(), args.format or "table", run.header, names)
        code = _Progress(args, None if found.has_shards else len(names), run.kept).follow(run, writer)
    if (note := skipped_note(found.all_skipped)) and not args.quiet:
        tell("score", note)
    return code


@dataclass
class _Progress:
    """A run's progress, told on standard error."""

    args: argparse.Namespace
    total: int | None  # unknown where there are shards, which are read once
    done: int  # by an earlier run
    scored: int = 0
    failed: int = 0

    def follow(self, run: ScoringRun, writer: ResultWriter | None) -> int:
        """Tell of the rows as they come, and write them to standard output if they go there; returns the exit code."""
        from tqdm import tqdm

        hidden = True if self.args.quiet else False if self.args.progress else None  # None: unless on a terminal
        start = time.monotonic()
        try:
            with (
                interrupts_kept(), writer or contextlib.nullcontext(), contextlib.closing(run),
                tqdm(total=self.total, unit="image", disable=hidden) as bar,
            ):  # fmt: skip
                for row in run:
                    with tqdm.external_write_mode():
                        if writer is not None:
                            writer.write(row)
                        if row.kind is not None:
                            tell("score", row.error)
                    self.scored += row.kind is None
                    self.failed += row.kind is not None
                    bar.update()
        except KeyboardInterrupt as error:
            rest = "some" if self.total is None else self.total - self.scored - self.failed
            hint = ["--resume goes on from here"] if self.args.out else []
            raise type(error)(f"{self._summary(start)}, {rest} left", *hint) from error
        if not self.args.quiet:
            tell("score", self._summary(start))
        return 1 if self.failed else 0

    def _summary(self, start: float) -> str:
        seconds = time.monotonic() - start
        speed = f" in {seconds:.1f} s ({self.scored / seconds:.2f} images/s)" if self.scored else ""
        earlier = f", {self.done} done before" if self.done else ""
        return f"{self.scored} scored, {self.failed} failed{speed}{earlier}"


def _columns(args: argparse.Namespace) -> Columns:
    from ..clip.model import frozen_clip
    from ..prompts.pairs import NAMED_PAIRS, known_names, parse_columns, parse_prompt_argument
    from ..weights.selection import find_weights

    attributes: list[str] = []
    if args.all_attributes:
        clip = frozen_clip(find_weights(args.backbone or "RN50", args.clip_weights, args.quick_gelu))
        attributes = known_names(clip, NAMED_PAIRS, args.template)
    asked = [*map(parse_prompt_argument, args.prompts), *attributes]
    return parse_columns(asked or None, args.template)


def _raw_stdout() -> IO[bytes]:
    """Standard output without Python's buffer, so that a row is out when it is written, and none is left at exit."""
    try:
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    except OSError:  # standard output was replaced by something without a file descriptor
        return sys.stdout.buffer
