"""What the commands for the paper's experiments share: their options, scoring with progress, and where results go."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError, ImageError
from .config import add_config
from .model import add_image_options, add_model_options, build_metric, check_resume, image_limits, prepare_pil

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from ...figures.scores import Record
    from ...metric import CLIPIQA
    from ...prompts.pairs import PromptPair

FILES = (".png", ".svg", ".html", ".csv", ".json", ".jpg", ".pdf")
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
    results("--resume", action="store_true", help="go on with the scores that an earlier run left in --out")
    results("--overwrite", action="store_true", help="replace what is in --out")
    results("--quiet", "-q", action="store_true", help="no progress bar and no summary")


@dataclass
class Experiment:
    """One run of an experiment's command.

    Args:
        args: Of the command, with the shared options.
        scores: Name of the file that keeps the scores as they come.
        summary: Name of the file that keeps the table and what it was made from.

    Raises:
        CLIPIQAError: The folder for results cannot be written.
    """

    args: argparse.Namespace
    scores: str = "scores.csv"
    summary: str = "summary.json"

    def __post_init__(self) -> None:
        check_resume(self.args, "folder")
        self.out: Path | None = self.args.out
        if self.out is not None:
            if self.out.suffix.lower() in FILES and not self.out.is_dir():
                raise CLIPIQAError(f"--out takes a folder, but {str(self.out)!r} is the name of a file.")
            if self.out.is_file():
                raise CLIPIQAError(f"--out takes a folder, but {str(self.out)!r} is a file: name another place.")
            with _writing(self.out):
                self.out.mkdir(parents=True, exist_ok=True)
            if not os.access(self.out, os.W_OK):
                raise CLIPIQAError(f"results cannot be written to {str(self.out)!r}: permission denied.")
        prepare_pil(self.args.huge)

    def columns(self, default: Sequence[str]) -> dict[str, tuple[PromptPair, ...]]:
        """What ``--prompts`` asks, one column each."""
        from ...prompts.pairs import parse_columns, parse_prompt_argument

        asked = list(map(parse_prompt_argument, self.args.prompts)) or list(default)
        return parse_columns(asked, self.args.template)

    def metric(self, columns: Mapping[str, tuple[PromptPair, ...]]) -> CLIPIQA:
        """The metric that the options name."""
        from .device import find_device

        self.device = find_device(self.args.device)
        return build_metric(self.args, columns, self.device)

    @contextlib.contextmanager
    def scoring(self, total: int) -> Iterator[dict[str, Any]]:
        """The options of ``evaluate.scores.score_images`` while that many scores are made."""
        from tqdm import tqdm

        with tqdm(total=total, unit="image", disable=True if self.args.quiet else None) as bar:
            try:
                yield {
                    **image_limits(self.args),
                    "device": self.device,
                    "batch_size": self.args.batch_size,
                    "workers": self.args.workers,
                    "record": self._record(lambda row: bar.update()),
                }
            except KeyboardInterrupt:
                if self.out is not None:
                    print(f"clipiqa {self.args.command}: --resume goes on from here", file=sys.stderr)
                raise

    def _record(self, progress: Any) -> Record:
        from ...figures.scores import Record

        path = None if self.out is None else self.out / self.scores
        return Record(path, self.args.resume, self.args.overwrite, progress)

    def table(self, name: str, frame: pandas.DataFrame) -> None:
        """Write a frame as CSV into the folder for results."""
        self.text(f"{name}.csv", frame.to_csv(index=frame.index.name is not None))

    def text(self, name: str, text: str) -> None:
        """Write a text file into the folder for results."""
        if self.out is not None:
            with _writing(self.out / name):
                (self.out / name).write_text(text, encoding="utf-8", errors="backslashreplace")

    def picture(self, name: str, picture: Figure | Image | None) -> None:
        """Write a figure or an image into the folder for results; with nothing to show, no earlier one stays there."""
        if self.out is None:
            return
        with _writing(self.out / name):
            if picture is None:
                (self.out / name).unlink(missing_ok=True)
            elif hasattr(picture, "savefig"):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph .* missing from")  # shown as boxes: names are in the CSV
                    picture.savefig(self.out / name, dpi=150)
            else:
                picture.save(self.out / name)

    def finish(
        self,
        summary: pandas.DataFrame,
        failed: Mapping[str, str],
        provenance: Mapping[str, str],
        intervals: Mapping[str, tuple[str, str]] | None = None,
        **more: Any,
    ) -> int:
        """Print the table, write ``summary.json`` and say what was left out; the exit code.

        Args:
            summary: The table.
            failed: What could not be scored -> why.
            provenance: Which CLIP-IQA.
            intervals: Columns -> the two columns of their intervals, which are printed behind them.
            more: What else to write.
        """
        table = shown(summary, intervals or {})
        print(table.encode("utf-8", "backslashreplace").decode())  # names may hold bytes that are no text
        said = {"summary": records(summary), **more, "left_out": dict(failed), "provenance": dict(provenance)}
        self.text(self.summary, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
        command = self.args.command
        for reason in failed.values():
            print(f"clipiqa {command}: left out: {reason}", file=sys.stderr)
        if self.out is not None and not self.args.quiet:
            print(f"clipiqa {command}: results are in {self.out}", file=sys.stderr)
        return 1 if failed else 0


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows for JSON in full precision (pandas would round p of 1e-12 to 0); NaN becomes None."""
    plain = frame.astype(object)
    return plain.where(plain.notna(), None).to_dict(orient="records")


def shown(frame: pandas.DataFrame, intervals: Mapping[str, tuple[str, str]]) -> str:
    """A frame for people: four digits, but small numbers as they are; a dash for none; intervals in brackets."""

    from ...comparison.report.summary import plain

    def text(value: Any) -> str:
        if isinstance(value, str) or not isinstance(value, float):
            return plain(str(value))  # a line break in a file's name must not break the table
        if value != value:
            return "–"
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"

    frame = frame.copy()
    for name, (low, high) in intervals.items():
        ranges = zip(frame[name], frame.pop(low), frame.pop(high), strict=True)
        frame[name] = [f"{text(value)} [{text(least)}, {text(most)}]" for value, least, most in ranges]
    cells = [list(map(text, frame.columns)), *([text(value) for value in row] for row in frame.itertuples(index=False))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    words = [all(isinstance(value, str) for value in frame.iloc[:, place]) for place in range(frame.shape[1])]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in cells
    )


def find_images(paths: Sequence[str], command: str, out: Path | None) -> list[str]:
    """The files that paths stand for; what is none is an error, since an experiment without it would be another.

    Pictures that lie in ``out``, the folder for results, come from an earlier run and do not count, unless named.
    """
    from ...images.sources import find_inputs

    inputs = find_inputs(paths)
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images for `clipiqa {command}`.")
    if out is None:
        return inputs.paths
    ours = os.path.join(os.path.abspath(out), "")
    found = [path for path in inputs.paths if path in paths or not os.path.abspath(path).startswith(ours)]
    if not found:
        raise ImageError(f"all images lie in {str(out)!r}, where the results would go: name another folder as --out.")
    return found


def file_names(questions: Sequence[str]) -> dict[str, str]:
    """Questions -> parts of files' names, no two alike, also where case does not count."""
    from ...comparison.outcome import free_name

    names: dict[str, str] = {}
    taken: set[str] = set()
    for question in questions:
        kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in question)
        names[question] = free_name("-".join(filter(None, kept.split("-")))[:60] or "question", taken)
    return names


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CLIPIQAError(f"results cannot be written to {str(path)!r}: {error.strerror or error}.") from error
