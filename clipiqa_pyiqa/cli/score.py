"""``clipiqa score``: score photos, and write one row each."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import CLIPIQAError, ImageError
from ..result_files import FORMATS, Output, ResultWriter, format_of, open_results, write_to
from ..results import Header, Row, printable

if TYPE_CHECKING:
    import torch

    from ..metric import CLIPIQA
    from ..prompts import PromptPair

EPILOG = """\
One score in [0, 1] per image and prompt, high is good, in the order of the paths. A file that cannot be scored is
reported, gets a row that says why, and the rest is scored. Exit code: 0 all scored, 1 some files failed, 2 bad usage
or nothing to score, 130 interrupted.

examples:
  clipiqa score photos/ holiday.jpg
  clipiqa score photos/ --prompts quality sharpness 'Crisp photo.|Hazy photo.' --out scores.csv
  find . -name '*.png' -print0 | clipiqa score -0 - --out scores.parquet --resume
"""


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a run as Ctrl-C does."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH",
        help="file, folder (with its sub-folders), quoted glob, or - for a list on stdin",
    )
    add(
        "-0", "--null", action="store_true", help="names on stdin end with a NUL byte (find -print0), not with the line"
    )
    what = parser.add_argument_group("what to ask").add_argument
    what(
        *("--prompts", "-p"), nargs="+", action="extend", metavar="PROMPT", default=[],
        help="named pairs (see `clipiqa prompts`), presets, or 'positive|negative': one column each (default: quality)",
    )  # fmt: skip
    what("--all-attributes", action="store_true", help="one column for every named pair")
    what("--template", metavar="TEXT", help="wording of the named pairs, such as 'A photo of {}.'")
    model = parser.add_argument_group("which CLIP").add_argument
    model("--backbone", default="RN50", metavar="NAME", help="RN50 (default), ViT-B/32, …: see `clipiqa weights`")
    model("--clip-weights", metavar="FILE|TAG", help="a checkpoint file, or an open_clip tag; default: OpenAI's")
    model(
        "--pos-embedding", default="none", metavar="MODE", help="none (default), interpolate, or fixed (CLIP's 224 px)"
    )
    model("--precision", default="fp32", metavar="KIND", help="fp32 (default), bf16 or fp16")
    model("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or mps; default: cuda if there is one, else cpu")
    model(
        "--quick-gelu", action=argparse.BooleanOptionalAction,
        help="whether a checkpoint file that is no published one was trained with QuickGELU (default: yes)",
    )  # fmt: skip
    images = parser.add_argument_group("images").add_argument
    images(
        "--max-side", type=int, metavar="PX", help="shrink images with a longer side to this; recorded in the result"
    )
    images("--max-pixels", type=int, metavar="N", help="shrink images with more pixels to this; recorded in the result")
    images("--no-exif", action="store_true", help="leave pictures as stored, ignoring their EXIF orientation")
    images("--huge", action="store_true", help="also decode images above PIL's limit against decompression bombs")
    images(
        "--batch-size", type=_positive, default=8, metavar="N", help="images of equal size scored at once (default: 8)"
    )
    images("--workers", type=_positive, metavar="N", help="decoding threads (default: one per core, up to 8)")
    results = parser.add_argument_group("results").add_argument
    results("--format", choices=FORMATS, help="default: by the suffix of --out; a table on standard output")
    results("--out", type=Path, metavar="FILE", help="write here instead of standard output")
    results("--resume", action="store_true", help="go on with the rows that an interrupted run left in --out")
    results("--overwrite", action="store_true", help="replace --out if it exists")
    results("--quiet", "-q", action="store_true", help="no progress bar and no summary")
    results("--progress", action="store_true", help="show the progress bar even if standard error is no terminal")


def run(args: argparse.Namespace) -> int:
    """Score what the arguments ask for."""
    from ..images import check_limits
    from .device import find_device
    from .inputs import find_inputs

    if not args.paths:
        raise ImageError("no PATH given: name files or folders (before --prompts, or behind a --).")
    if args.resume and args.overwrite:
        raise CLIPIQAError("--resume keeps the results in --out and --overwrite drops them: give one of the two.")
    if args.resume and args.out is None:
        raise CLIPIQAError("--resume needs --out, the file to go on with.")
    check_limits(args.max_side, args.max_pixels)
    output = Output(args.out, args.format or format_of(args.out), args.resume, args.overwrite) if args.out else None
    if output is None and args.format == "parquet":
        raise CLIPIQAError("parquet results are not text: name a file with --out.")
    inputs = find_inputs(args.paths, args.null)
    if not inputs.paths:
        first, *others = inputs.problems.values()
        more = f" (and {len(others)} more like it)" if others else ""
        raise ImageError(f"{first}{more}: there is nothing to score.")
    failures = [Row(name, error=f"{problem}.") for name, problem in inputs.problems.items()]

    from ..scoring import score_paths  # here and below what imports torch, once everything cheap is known to be right

    _prepare_pil(args.huge)
    columns = _columns(args)
    device = find_device(args.device)
    metric = _metric(args, columns, device)
    header = Header(tuple(columns), _provenance(args, metric, columns, device))
    names = [row.path for row in failures] + [printable(path) for path in inputs.paths]
    if output is not None:
        writer = open_results(output, header, names)
    else:
        writer = write_to(_raw_stdout(), args.format or "table", header, names)
    todo = [path for path in inputs.paths if printable(path) not in writer.done]
    rows = score_paths(
        metric, todo, columns=list(columns.values()), device=device, batch_size=args.batch_size, workers=args.workers,
        apply_exif=not args.no_exif, max_side=args.max_side, max_pixels=args.max_pixels,
    )  # fmt: skip
    run = _Run(args, total=len(failures) + len(todo), done=len(inputs.paths) - len(todo))
    return run.write(itertools.chain(failures, rows), writer)


def _prepare_pil(huge: bool) -> None:
    from PIL import Image

    warnings.filterwarnings("ignore", module="PIL")  # damage is reported as an error, and odd metadata is no news
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # 89 to 179 megapixels are just photos
    if huge:
        Image.MAX_IMAGE_PIXELS = None


@dataclass
class _Run:
    """A run's progress, told on standard error."""

    args: argparse.Namespace
    total: int
    done: int  # by an earlier run
    scored: int = 0
    failed: int = 0

    def write(self, rows: Iterator[Row], writer: ResultWriter) -> int:
        """Write the rows as they come; returns the exit code."""
        from tqdm import tqdm

        hidden = True if self.args.quiet else False if self.args.progress else None  # None: unless on a terminal
        start = time.monotonic()
        try:
            with _sigterm_as_interrupt(), writer, tqdm(total=self.total, unit="image", disable=hidden) as bar:
                for row in rows:
                    with tqdm.external_write_mode():
                        writer.write(row)
                        if row.error:
                            print(f"clipiqa score: {row.error}", file=sys.stderr)
                    self.scored += not row.error
                    self.failed += bool(row.error)
                    bar.update()
        except KeyboardInterrupt as error:
            rest = self.total - self.scored - self.failed
            hint = "; --resume goes on from here" if self.args.out else ""
            print(f"clipiqa score: interrupted: {self._summary(start)}, {rest} left{hint}", file=sys.stderr)
            return 143 if isinstance(error, Terminated) else 130
        if not self.args.quiet:
            print(f"clipiqa score: {self._summary(start)}", file=sys.stderr)
        return 1 if self.failed else 0

    def _summary(self, start: float) -> str:
        seconds = time.monotonic() - start
        speed = f" in {seconds:.1f} s ({self.scored / seconds:.2f} images/s)" if self.scored else ""
        earlier = f", {self.done} done before" if self.done else ""
        return f"{self.scored} scored, {self.failed} failed{speed}{earlier}"


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _columns(args: argparse.Namespace) -> dict[str, tuple[PromptPair, ...]]:
    """Column name -> the pairs averaged in it: one, or several for a preset."""
    from ..prompts import NAMED_PAIRS, parse_prompt_argument, parse_prompts

    asked = [*args.prompts, *(NAMED_PAIRS if args.all_attributes else ())] or [None]
    columns = {}
    for text in asked:
        pairs = parse_prompts(None if text is None else parse_prompt_argument(text), args.template)
        columns[pairs[0].name if len(pairs) == 1 else text] = pairs
    return columns


def _metric(args: argparse.Namespace, columns: dict[str, tuple[PromptPair, ...]], device: torch.device) -> CLIPIQA:
    # Not through pyiqa.create_metric: that builds the same class, but importing pyiqa takes seconds.
    from ..metric import CLIPIQA

    metric = CLIPIQA(
        backbone=args.backbone,
        pos_embedding=args.pos_embedding,
        precision=args.precision,
        clip_weights=args.clip_weights,
        quick_gelu=args.quick_gelu,
        template=args.template,
        prompts=list(itertools.chain(*columns.values())),
        aggregate=None,
    )
    return metric.to(device).eval()


def _provenance(
    args: argparse.Namespace, metric: CLIPIQA, columns: dict[str, tuple[PromptPair, ...]], device: torch.device
) -> dict[str, str]:
    """Everything a score depends on, for the header of the results."""
    from importlib.metadata import version

    import torch

    means = [f"{name} is the mean of {len(pairs)} pairs" for name, pairs in columns.items() if len(pairs) > 1]
    return {
        **metric.provenance(),
        "aggregate": "; ".join(means) or "none",
        "exif": "ignored" if args.no_exif else "applied",
        "max_side": str(args.max_side or "none"),
        "max_pixels": str(args.max_pixels or "none"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        **{package: version(package) for package in ("pyiqa", "torch", "open_clip_torch", "pillow")},
    }


def _raw_stdout() -> IO[bytes]:
    """Standard output without Python's buffer, so that a row is out when it is written, and none is left at exit."""
    try:
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    except OSError:  # standard output was replaced by something without a file descriptor
        return sys.stdout.buffer


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value
