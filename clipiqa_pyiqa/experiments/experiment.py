"""Options and result files of all experiments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pandas

from ..errors import FilePath, ImageError, Progress, ScoringOptions, first_of, silent
from ..files.folders import check_folder, file_name, free_names
from ..files.locking import locked
from ..images.image import File, Image
from ..metric import is_factory, net_of
from ..metrics.metric import Metric
from ..metrics.parsing import parse_metrics
from ..prompts.pairs import Columns, parse_columns, unknown_names
from ..report.report import Report, save_files
from ..report.table import frame_table
from ..results.results import Output
from ..results.scores import Scores
from ..scoring.engine import outputs
from ..scoring.score import score_paths

Paths = FilePath | Iterable[FilePath]


class ExperimentOptions(ScoringOptions, total=False):
    """Options of all experiments, as for :func:`score_files`."""

    out: FilePath | None
    resume: bool
    overwrite: bool
    pictures: Literal["png", "svg", "pdf"]
    progress: Progress
    trust_weights: bool


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment: scores of images, and what follows from them.

    Attributes:
        frame: Index ``path``, as given; one column per question or named metric.
        scores: The same scores, with all else that is known of all images, such as flags; NaN for those left out.
        intervals: Columns of the summary with a 95 % interval, in columns of the same name with ``low`` and ``high``.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    scores: Scores
    intervals: ClassVar[Sequence[str]] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing that was asked for is left out."""
        return not self.failed

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(self.scores.columns)

    def is_low_good(self, question: str) -> bool:
        return bool(self.scores.columns[question].lower_better)

    def summary(self) -> pandas.DataFrame:
        """Return the table that the command prints."""
        return self.frame

    def contents(self) -> dict[str, Any]:
        """Return file name -> table, or figure; ``*`` in its name stands for the format of pictures."""
        return {}

    def of_pairs(self, frame: pandas.DataFrame, sides: Sequence[str]) -> pandas.DataFrame:
        """Return the pairs of images that both have scores; raise if there are none."""
        found = frame[~frame[list(sides)].isin(list(self.failed)).any(axis=1)]
        if found.empty:
            raise ImageError("no pair has scores for both images: there is nothing to compare" + because(self.failed))
        return found

    @property
    def caption(self) -> str:
        """Return what made the scores, for pictures."""
        known = self.provenance
        return "CLIP-IQA, {backbone}, {weights}".format(**known) if "weights" in known else ""

    def details(self) -> dict[str, Any]:
        return {}

    def notes(self) -> list[str]:
        return []

    def report(self) -> Report:
        table = self.summary()
        return Report([frame_table(table, self.intervals)], table)

    def save(self, folder: FilePath, *, pictures: str = "png") -> None:
        """Write tables, figures (``'png'``, ``'svg'`` or ``'pdf'``), sheets (PNG) and ``summary.json``."""
        place, table = check_folder(folder), self.summary().astype(object)
        rows = table.where(table.notna(), None).to_dict(orient="records")  # pandas' to_json would round 1e-12 to 0
        fields = {"summary": rows, **self.details(), "left_out": {**self.failed}, "provenance": {**self.provenance}}
        files = {name.replace("*", pictures): content for name, content in self.contents().items()}
        with locked(place):  # so that pictures and tables come from one run
            summary = json.dumps(fields, indent=2, ensure_ascii=False)
            save_files(place, {**files, "summary.json": f"{summary}\n"})

    def saved(self, options: ExperimentOptions) -> Self:
        out = options.get("out")
        if out is not None:
            self.save(out, pictures=options.get("pictures", "png"))
        return self


def because(failed: Mapping[str, str]) -> str:
    return f": {first_of(failed.values(), 5)}." if failed else "."


def asked(metric: Any, prompts: Any = None, template: str | None = None, default: Any = None) -> list[Metric]:
    """Return the metrics of an experiment.

    Args:
        metric: A CLIP-IQA, or metrics as for :func:`~clipiqa_pyiqa.metrics.parsing.parse_metrics`.
        prompts: Questions for the (first) metric, a CLIP-IQA.
        default: Questions for a CLIP-IQA that stands alone, if there are no ``prompts`` and it has learned none.
    """
    metrics = parse_metrics(metric() if is_factory(metric) else metric)
    first = metrics[0]
    net = getattr(first.instance, "net", first.instance)
    is_learned = first.name.startswith("clipiqa+") or getattr(net, "questions", "") is None
    if prompts is None and not (first.label or first.questions or is_learned):
        prompts = default or ("quality" if template or first.name == "clipiqa" else None)
    return metrics if prompts is None else parse_metrics(metrics, parse_columns(prompts, template))


def without_unknown(metric: Metric) -> tuple[Metric, list[str]]:
    """Return a built CLIP-IQA without the questions whose words its CLIP never saw, and these questions' names."""
    clip = getattr(metric.net, "clip", None)
    if clip is None or metric.questions is None:
        return metric, []
    unknown = unknown_names(clip, metric.questions)
    questions = {name: pairs for name, pairs in metric.questions.items() if name not in unknown}
    return replace(metric, questions=Columns(questions)), unknown


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


def checked_output(
    names: Iterable[str],
    questions: Sequence[str],
    inputs: Iterable[str],
    *,
    out: FilePath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: str = "png",
    **_: Any,
) -> Output | None:
    """Return the file of scores in ``out``, or None without ``out``; raise if a file there must not be replaced.

    Arguments as for :func:`score_files`; other options of an experiment do not matter.
    """
    forms = [name.replace("*", pictures) for name in ("summary.json", *names)]
    others = [name for form in forms for name in file_names(questions, form).values()]
    return outputs(out, ["scores.csv"], others, inputs, resume=resume, overwrite=overwrite).get("scores.csv")


def score_files(
    metrics: Sequence[Metric],
    images: Iterable[str | Image],
    names: Iterable[str],
    inputs: Iterable[str] = (),
    *,
    out: FilePath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: str = "png",
    progress: Progress = silent,
    **options: Any,
) -> ExperimentResult:
    """Return the scores of image files, or of other sources; each is scored once.

    Args:
        metrics: The result of :func:`asked`.
        images: Files and sources, which are never replaced.
        names: Files that the experiment writes, as in :meth:`ExperimentResult.contents`, with ``{}`` for a question;
            unless replaced or continued, ``out`` must not have them.
        options: As for :func:`~clipiqa_pyiqa.score_paths`.
    """
    sources = [File(image) if isinstance(image, str) else image for image in dict.fromkeys(images)]
    paths, questions = [source.name for source in sources], column_names(metrics)
    results: dict[str, Any] = {"out": out, "resume": resume, "overwrite": overwrite, "pictures": pictures}
    stored = checked_output(names, questions, [*paths, *inputs], **results)
    run = score_paths(metrics, sources, out=stored, strict=True, **options)
    found = run.scores(progress).under(paths)
    has_scores = found.frame[run.head.scores].notna().all(axis=1)
    failed = {name: found.errors[name] for name in has_scores.index[~has_scores]}
    failed |= {name: f"{name!r} is gone since an earlier run." for name in run.known.gone}
    if not has_scores.any():
        raise ImageError("none of the images could be scored" + because(failed))
    frame = found.frame[has_scores].dropna(axis=1)  # only whole columns of an earlier run
    columns = {name: found.columns[name] for name in frame}
    scores = replace(found, frame=frame.reindex(found.frame.index), columns=columns)
    return ExperimentResult(frame, failed, run.head.provenance, scores)


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    questions = list(questions)
    names = free_names(file_name(question)[:60] for question in questions)
    return {question: form.format(name) for question, name in zip(questions, names, strict=True)}
