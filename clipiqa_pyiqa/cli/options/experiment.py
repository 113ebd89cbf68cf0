"""What the commands for the paper's experiments share: their options, a bar of progress, and the printed table."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .config import add_config
from .model import add_image_options, add_model_options, check_resume, image_limits, prepare_reading
from .progress import Bar
from .signals import on_interrupt
from .tables import aligned
from .wording import tell

if TYPE_CHECKING:
    import pandas

    from ...experiments.experiment import ExperimentResult

Result = TypeVar("Result", bound="ExperimentResult")

ENDING = """
Exit code: 0 all scored, 1 some images were left out, 2 bad input, 130 interrupted. With --out, every score is on disk
as soon as it is known, and --resume goes on with an interrupted run; it also draws anew without scoring.
"""


def configure(parser: argparse.ArgumentParser, epilog: str, *, prompts: str | None) -> None:
    """Declare the shared options; ``prompts`` tells what is asked by default, None if the command asks by itself."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = epilog.strip() + "\n" + ENDING
    add_config(parser)
    what = parser.add_argument_group("what to ask").add_argument
    if prompts is not None:
        what(
            *("--prompts", "-p"), nargs="+", action="extend", metavar="PROMPT", default=[],
            help=f"named pairs (see `clipiqa prompts`), presets, or 'positive|negative' (default: {prompts})",
        )  # fmt: skip
    what("--template", metavar="TEXT", help="wording of the named pairs, such as 'A photo of {}.'")
    add_model_options(parser)
    add_image_options(parser)
    results = parser.add_argument_group("results").add_argument
    results("--out", type=Path, metavar="DIR", help="folder for scores, tables and pictures (default: only a table)")
    results("--pictures", default="png", metavar="KIND", help="png (default), svg or pdf; sheets of photos are no svg")
    results("--resume", action="store_true", help="go on with the scores that an earlier run left in --out")
    results("--overwrite", action="store_true", help="replace what is in --out")
    results("--quiet", "-q", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace, experiment: Callable[..., ExperimentResult], *inputs: Any, **options: Any) -> int:
    """Run an experiment as the shared options say, print what it came to, and say what was left out.

    Args:
        args, experiment, inputs, options: As for :func:`made`.

    Returns:
        The exit code.
    """
    found = made(args, experiment, *inputs, **options)
    print(frame_as_text(found.summary(), found.intervals))
    return told(args, found)


def made(args: argparse.Namespace, experiment: Callable[..., Result], *inputs: Any, **options: Any) -> Result:
    """Run an experiment as the shared options say.

    Args:
        args: Of the command.
        experiment: A function of :mod:`clipiqa_pyiqa.experiments`.
        inputs: What it takes after the metric.
        options: Its own options.
    """
    from ...clip.device import find_device
    from .model import build_metric

    check_resume(args, "folder")
    prepare_reading(args.huge)
    device = find_device(args.device)
    resumed = contextlib.nullcontext() if args.out is None else on_interrupt("--resume goes on from here")
    with resumed, Bar(hidden=args.quiet) as bar:
        return experiment(
            lambda: build_metric(args, None, device), *inputs, template=args.template, out=args.out,
            resume=args.resume, overwrite=args.overwrite, pictures=args.pictures, progress=partial(bar.show, ""),
            device=device, batch_size=args.batch_size, workers=args.workers, **image_limits(args), **options,
        )  # fmt: skip


def told(args: argparse.Namespace, found: ExperimentResult) -> int:
    """Say on standard error what was left out and where results are; returns the exit code."""
    said = [f"left out: {reason}" for reason in found.failed.values()]
    if args.out is not None and not args.quiet:
        said.append(f"results are in {args.out}")
    for words in [*said, *found.notes()]:
        tell(args.command, words)
    return 1 if found.failed else 0


def prompts(args: argparse.Namespace, default: Any = "quality") -> Any:
    """What ``--prompts`` asks."""
    from ...prompts.pairs import parse_prompt_argument

    return list(map(parse_prompt_argument, args.prompts)) or default


def frame_as_text(frame: pandas.DataFrame, intervals: Mapping[str, tuple[str, str]]) -> str:
    """A frame for people: four digits, but small numbers as they are; a dash for none; intervals in brackets."""
    from ...files.names import one_line

    def text(value: Any) -> str:
        if isinstance(value, str) or not isinstance(value, float):
            return one_line(str(value))  # a line break in a file's name must not break the table
        if value != value:
            return "–"
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"

    frame = frame.copy()
    for name, (low, high) in intervals.items():
        ranges = zip(frame[name], frame.pop(low), frame.pop(high), strict=True)
        frame[name] = [f"{text(value)} [{text(least)}, {text(most)}]" for value, least, most in ranges]
    cells = [list(map(text, frame.columns)), *([text(value) for value in row] for row in frame.itertuples(index=False))]
    words = [all(isinstance(value, str) for value in frame.iloc[:, place]) for place in range(frame.shape[1])]
    return "\n".join(aligned(cells, words))
