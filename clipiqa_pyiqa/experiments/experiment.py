"""Options and result files of all experiments."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import pandas

from ..errors import ImageError, first_of
from ..errors.arguments import check_resume, checked
from ..files.names import free_name, printable
from ..files.writing import check_folder, locked
from ..images.image import File, Image, skipped_note
from ..metric import net_of
from ..prompts.pairs import PromptPair
from ..report.contact_sheet import footed
from ..report.plotting import captioned, plain_texts
from ..report.report import Report, save_files
from ..report.table import frame_table
from ..results.results import Output
from ..results.scores import read_scores
from ..scoring.score import score_paths
from ..sources.finding import each_of, find_inputs

logger = logging.getLogger("clipiqa_pyiqa")
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


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

    def report(self) -> Report:
        table = self.summary()
        return Report([frame_table(table, self.intervals)], table)

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
        files = {name: _captioned(content, caption) for name, content in self.contents().items()}
        with locked(place):  # so that pictures and tables come from one run
            summary = json.dumps(fields, indent=2, ensure_ascii=False)
            save_files(place, {**files, "summary.json": f"{summary}\n"}, pictures)


def _captioned(content: Any, caption: str) -> Any:
    if hasattr(content, "savefig"):
        return captioned(plain_texts(content), caption)
    return footed(content, caption) if caption and hasattr(content, "save") else content


Result = TypeVar("Result", bound=ExperimentResult)


def because(failed: Mapping[str, str]) -> str:
    return f": {first_of(failed.values())}." if failed else "."


@checked
def score_files(
    metric: Any,
    images: Sequence[str | Image],
    columns: Mapping[str, Sequence[PromptPair]],
    names: Iterable[str],
    inputs: Iterable[str] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: Literal["png", "svg", "pdf"] = "png",
    progress: Callable[[int, int], object] = lambda done, total: None,
    **options: Any,
) -> ImageScores:
    """Return the scores of image files, or of other sources.

    Args:
        metric, columns: The metric, and its questions.
        images: Files and sources, which are never replaced.
        names: Files that the experiment writes; unless replaced or continued, ``out`` must not have them.
        inputs: Other files that are never replaced.
        out: Folder for scores and results; by default none.
        resume: Continue with the scores in ``out``.
        overwrite: Replace the files in ``out``.
        pictures: Format of figures.
        progress: Called with the numbers of new and of all scores.
        options: As for :func:`~clipiqa_pyiqa.score_paths`.
    """
    sources = [File(image) if isinstance(image, str) else image for image in images]
    check_resume(out, resume, overwrite)
    output = None
    if out is not None:
        output = Output(check_folder(out) / "scores.csv", "csv", resume, overwrite)
        written = {"summary.json"} | {name for each in names for name in (each, each.replace(".png", f".{pictures}"))}
        is_resumed = resume and output.earlier() is not None
        known = [source.name for source in sources]
        check_folder(out, sorted(written), overwrite=overwrite or is_resumed, inputs=[*known, *inputs])
    run = score_paths(net_of(metric), sources, columns, out=output, **options)
    rows = {}
    for row in run:
        rows[row.path] = row
        progress(len(rows), len(sources))
    asked = run.head.scores
    if output is None:
        values = {name: row.scores or [math.nan] * len(asked) for name, row in rows.items()}
        frame = pandas.DataFrame(values, asked, dtype=float).T
        errors = {name: row.error for name, row in rows.items()}
        flags = {name: row.flag for name, row in rows.items() if row.flag}
    else:  # with the rows of an earlier run
        stored = read_scores(output.path, columns=asked, key="path")
        frame, errors, flags = stored.frame, dict(stored.errors), stored.flags
    names = {printable(source.name): source.name for source in sources}
    frame = frame[~frame.index.duplicated(keep="last")].reindex(list(names))
    # pandas' own text type refuses names that are not UTF-8
    frame = frame.set_axis(pandas.Index(names.values(), name="path", dtype=object))
    has_scores = frame.notna().any(axis=1)
    failed = {names[name]: errors[name] for name in names if not has_scores[names[name]]}
    if len(failed) == len(names):
        raise ImageError("none of the images could be scored" + because(failed))
    flags = {names[name]: flag for name, flag in flags.items() if name in names}
    return ImageScores(frame[has_scores], tuple(asked), failed, run.head.provenance, flags=flags)


def saved(result: Result, options: Mapping[str, Any]) -> Result:
    out = options.get("out")
    if out is not None:
        result.save(out, pictures=options.get("pictures", "png"))
    return result


@checked
def find_images(paths: Paths) -> list[str]:
    inputs = find_inputs(map(os.fspath, each_of(paths)))
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images.")
    if inputs.skipped:
        logger.info("%s", skipped_note(inputs.skipped))
    if not inputs.paths:
        raise ImageError("there are no images to score.")
    return inputs.paths


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    taken: dict[str, int] = {}
    words = {question: re.sub(r"[\W-]+", "-", question).strip("-")[:60] or "question" for question in questions}
    return {question: form.format(free_name(name, taken)) for question, name in words.items()}
