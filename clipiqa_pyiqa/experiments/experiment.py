"""Options and result files of all experiments."""

from __future__ import annotations

import json
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Unpack

import pandas

from ..errors import ImageError, ScoringOptions, checked, first_of
from ..files.names import free_name
from ..files.writing import check_folder, locked
from ..images.image import File, Image
from ..metric import is_factory, net_of
from ..metrics.metric import Metric
from ..metrics.parsing import parse_metrics
from ..prompts.pairs import parse_columns
from ..report.contact_sheet import footed
from ..report.plotting import captioned, plain_texts
from ..report.report import Report, save_files
from ..report.table import frame_table
from ..results.columns import Column
from ..scoring.collected import outputs
from ..scoring.score import score_paths
from ..sources.finding import each_of, find_inputs

logger = logging.getLogger("clipiqa_pyiqa")
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class ExperimentOptions(ScoringOptions, total=False):
    """Options of all experiments, as for :func:`score_files`."""

    out: str | os.PathLike[str] | None
    resume: bool
    overwrite: bool
    pictures: Literal["png", "svg", "pdf"]
    progress: Callable[[int, int | None], object]
    trust_weights: bool


@dataclass(frozen=True)
class ImageScores:
    """Scores of images.

    Attributes:
        frame: Index ``path``, as given; one column per question or named metric.
        flags: Path of an image with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    columns: Mapping[str, Column]
    flags: Mapping[str, str]

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def is_low_good(self, question: str) -> bool:
        return bool(self.columns[question].lower_better)


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
        """Write tables, figures (``'png'``, ``'svg'`` or ``'pdf'``), sheets (PNG) and ``summary.json``."""
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


def asked(metric: Any, prompts: Any = None, template: str | None = None, default: Any = None) -> list[Metric]:
    """Return the metrics of an experiment.

    Args:
        metric: A CLIP-IQA, or metrics as for :func:`~clipiqa_pyiqa.metrics.parsing.parse_metrics`.
        prompts: Questions for the (first) metric, a CLIP-IQA.
        default: Questions for a CLIP-IQA that stands alone, if there are no ``prompts``.
    """
    metrics = parse_metrics(metric() if is_factory(metric) else metric)
    first = metrics[0]
    if prompts is None and not first.label and first.questions is None:
        prompts = default or ("quality" if template or first.name == "clipiqa" else None)
    return metrics if prompts is None else parse_metrics(metrics, parse_columns(prompts, template))


def column_names(metrics: Iterable[Metric]) -> list[str]:
    """Return the names of the columns that metrics fill, before they are built."""
    names = []
    for metric in metrics:
        if metric.label:
            names.append(metric.label)
        elif metric.questions is None and metric.instance is None:
            names.append(Path(metric.options.get("pretrained_model_path", metric.name)).stem)
        else:
            names += net_of(metric.instance).columns if metric.questions is None else metric.questions
    return names


@checked
def score_files(
    metrics: Sequence[Metric],
    images: Sequence[str | Image],
    names: Iterable[str],
    inputs: Iterable[str] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: Literal["png", "svg", "pdf"] = "png",
    progress: Callable[[int, int | None], object] = lambda done, total: None,
    trust_weights: bool = False,
    **options: Unpack[ScoringOptions],
) -> ImageScores:
    """Return the scores of image files, or of other sources.

    Args:
        metrics: The result of :func:`asked`.
        images: Files and sources, which are never replaced.
        names: Files that the experiment writes; unless replaced or continued, ``out`` must not have them.
        trust_weights, options: As for :func:`~clipiqa_pyiqa.score_paths`.
    """
    sources = [File(image) if isinstance(image, str) else image for image in images]
    paths = [source.name for source in sources]
    others = {"summary.json"} | {name for each in names for name in (each, each.replace(".png", f".{pictures}"))}
    stored = outputs(out, ["scores.csv"], others, [*paths, *inputs], resume=resume, overwrite=overwrite)
    run = score_paths(
        metrics, sources, out=stored.get("scores.csv"), trust_weights=trust_weights, strict=True, **options
    )
    found = run.scores(progress).under(dict.fromkeys(paths))
    columns = {column.name: column for column in run.head.columns}
    frame = found.frame[list(columns)]
    has_scores = frame.notna().all(axis=1)
    failed = {name: found.errors[name] for name in frame.index[~has_scores]}
    if len(failed) == len(frame):
        raise ImageError("none of the images could be scored" + because(failed))
    return ImageScores(frame[has_scores], failed, run.head.provenance, columns, found.flags)


def saved(result: Result, options: ExperimentOptions) -> Result:
    out = options.get("out")
    if out is not None:
        result.save(out, pictures=options.get("pictures", "png"))
    return result


@checked
def find_images(paths: Paths) -> list[str]:
    inputs = find_inputs(map(os.fspath, each_of(paths)))
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images.")
    if not inputs.paths:
        raise ImageError("there are no images to score.")
    return inputs.paths


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    taken: dict[str, int] = {}
    words = {question: re.sub(r"[\W-]+", "-", question).strip("-")[:60] or "question" for question in questions}
    return {question: form.format(free_name(name, taken)) for question, name in words.items()}
