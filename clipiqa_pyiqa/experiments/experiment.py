"""Options and result files of all experiments."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import pandas

from ..errors import ImageError, first_of
from ..errors.arguments import check_resume, checked
from ..files.names import free_name
from ..files.writing import check_folder, locked, replacing, write_text
from ..images.source import FileSource, skipped_note
from ..metric import net_of
from ..prompts.pairs import PromptPair
from ..report.contact_sheet import footed
from ..report.plotting import captioned, plain_texts
from ..scoring.result_files import Output, read_results
from ..scoring.rows import Row, frame_csv, printable
from ..scoring.score import ScoringOptions, ScoringRun, score_paths
from ..sources.finding import each_of
from ..sources.inputs import find_inputs

logger = logging.getLogger("clipiqa_pyiqa")
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Pictures = Literal["png", "svg", "pdf"]
_STORAGE = {  # option -> default
    "out": None,
    "resume": False,
    "overwrite": False,
    "pictures": "png",
    "progress": lambda done, total: None,
}


class RunOptions(ScoringOptions, total=False):
    """Options of every experiment, beside those of :func:`~clipiqa_pyiqa.score_paths`.

    Attributes:
        out: Folder for scores and results; by default none.
        resume: Continue with the scores in ``out``.
        overwrite: Replace the files in ``out``.
        progress: Called with the numbers of new and of all scores.
        pictures: Format of figures: ``'png'``, ``'svg'`` or ``'pdf'``.
    """

    out: str | os.PathLike[str] | None
    resume: bool
    overwrite: bool
    progress: Callable[[int, int], object]
    pictures: Pictures


@dataclass(frozen=True)
class ImageScores:
    """Scores of images.

    Attributes:
        frame: Index ``path``, as given; one column per question, in [0, 1].
        failed: Path of an image without scores -> the reason.
        provenance: The CLIP-IQA and the options that made the scores.
        flags: Path of an image with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict, kw_only=True)


class ExperimentResult(ImageScores, ABC):
    """Result of an experiment.

    Attributes:
        intervals: Columns of the summary with a 95 % interval, in columns of the same name with ``low`` and ``high``.
    """

    intervals: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def summary(self) -> pandas.DataFrame:
        """Return the table that the command prints."""

    @abstractmethod
    def contents(self) -> dict[str, Any]:
        """Return file name -> table, figure, sheet of photos, or None for no file."""

    def details(self) -> dict[str, Any]:
        return {}

    def notes(self) -> list[str]:
        return []

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write tables, figures (``'png'``, ``'svg'`` or ``'pdf'``), sheets (PNG) and ``summary.json``.

        Raises:
            CLIPIQAError: The folder cannot be written.
        """
        place, provenance = check_folder(folder), dict(self.provenance)
        caption = "CLIP-IQA, {backbone}, {weights}".format(**provenance) if "weights" in provenance else ""
        table = self.summary().astype(object)
        rows = table.where(table.notna(), None).to_dict(orient="records")  # pandas' to_json would round 1e-12 to 0
        fields = {"summary": rows, **self.details(), "left_out": dict(self.failed), "provenance": provenance}
        with locked(place), warnings.catch_warnings():  # so that pictures and tables come from one run
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # the picture shows boxes; the CSV has the names
            for name, content in self.contents().items():
                path = place / name
                if content is None:
                    path.unlink(missing_ok=True)  # the file is from an earlier run
                elif hasattr(content, "to_csv"):
                    write_text(path, frame_csv(content))
                elif hasattr(content, "savefig"):
                    with replacing(path.with_suffix(f".{pictures}")) as partial:
                        captioned(plain_texts(content), caption).savefig(partial, dpi=150)
                else:
                    with replacing(path) as partial:
                        (footed(content, caption) if caption else content).save(partial)
            write_text(place / "summary.json", json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


Result = TypeVar("Result", bound=ExperimentResult)


def exif_applied(provenance: Mapping[str, Any]) -> bool:
    return provenance.get("apply_exif") is not False


def because(failed: Mapping[str, str]) -> str:
    return f": {first_of(failed.values())}." if failed else "."


def score_files(
    metric: Any,
    files: Sequence[str],
    columns: Mapping[str, Sequence[PromptPair]],
    names: Iterable[str],
    options: RunOptions,
    inputs: Iterable[str] = (),
) -> ImageScores:
    """Return the scores of image files; see :func:`prepare` for ``names`` and ``inputs``."""
    output, progress, scoring = prepare(options, names, [*files, *inputs])
    run = score_paths(net_of(metric), map(FileSource, files), columns, out=output, **scoring)
    found = rows_of(run, output, progress, len(files))
    rows = {path: found[printable(path)] for path in files}
    scores = {path: row.scores for path, row in rows.items() if row.scores is not None}
    failed = {path: row.error for path, row in rows.items() if row.scores is None}
    if not scores:
        raise ImageError("none of the images could be scored" + because(failed))
    index = pandas.Index(scores, name="path", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(scores.values()), index, list(run.header.columns), dtype=float)
    flags = {path: row.flag for path, row in rows.items() if row.flag}
    return ImageScores(frame, run.header.columns, failed, run.header.provenance, flags=flags)


def prepare(
    options: RunOptions, names: Iterable[str], inputs: Iterable[str]
) -> tuple[Output | None, Callable[[int, int], object], dict[str, Any]]:
    """Create the output folder; return the file of scores, the function for progress, and the scoring options.

    Raises if the folder has one of the files ``names``; ``inputs`` are never replaced.
    """
    scoring: dict[str, Any] = {**_STORAGE, **options}
    out, resume, overwrite, pictures, progress = map(scoring.pop, _STORAGE)
    check_resume(out, resume, overwrite)
    if out is None:
        return None, progress, scoring
    folder = Path(out).expanduser()
    output = Output(check_folder(folder) / "scores.csv", "csv", resume, overwrite)
    written = {"summary.json"} | {name for each in names for name in (each, each.replace(".png", f".{pictures}"))}
    is_resumed = resume and output.earlier() is not None
    check_folder(folder, sorted(written), overwrite=overwrite or is_resumed, inputs=inputs)
    return output, progress, scoring


def rows_of(
    run: ScoringRun, output: Output | None, progress: Callable[[int, int], object], total: int
) -> dict[str, Row]:
    """Return a run's rows and those that it keeps: name -> row."""
    rows = dict[str, Row]()
    for done, row in enumerate(run, 1):
        progress(done, total)
        rows[row.path] = row
    return rows if output is None else {row.path: row for row in read_results(output.path)[1]}


def saved(result: Result, options: RunOptions) -> Result:
    out = options.get("out")
    if out is not None:
        result.save(out, pictures=options.get("pictures", "png"))
    return result


@checked
def find_images(paths: Paths, out: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the image files in ``paths``; a picture in ``out`` counts only if ``paths`` names it."""
    given = list(map(os.fspath, each_of(paths)))
    inputs = find_inputs(given)
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images.")
    if inputs.skipped:
        logger.info("%s", skipped_note(inputs.skipped))
    results = None if out is None else os.path.join(os.path.abspath(out), "")
    found = [p for p in inputs.paths if p in given or results is None or not os.path.abspath(p).startswith(results)]
    if not found:
        raise ImageError(f"there are no images to score{' outside out' if inputs.paths else ''}.")
    return found


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    taken: dict[str, int] = {}
    words = {question: re.sub(r"[\W-]+", "-", question).strip("-")[:60] or "question" for question in questions}
    return {question: form.format(free_name(name, taken)) for question, name in words.items()}
