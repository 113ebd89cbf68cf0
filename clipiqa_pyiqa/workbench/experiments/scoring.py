"""The scoring of an experiment's images, into a folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...checks import check_one_of
from ...errors import ImageError
from ..images.image import File, Image
from ..metrics.kinds import AnyMetric
from ..progress import silent
from ..results.output import Output
from ..scoring.result_files import create_result_files
from ..scoring.score import score_paths
from .experiment_result import ExperimentResult, end_with_reasons, file_names
from .options import ExperimentOptions
from .questions import column_names

_OPTIONS_OF_OUTPUT = ("out", "resume", "overwrite", "pictures", "progress")


def scored_images(
    metrics: Sequence[AnyMetric],
    images: Iterable[str | Image],
    written: Iterable[str],
    options: ExperimentOptions,
    inputs: Iterable[str] = (),
) -> ExperimentResult:
    """Return the scores of image files, or of other sources; each is scored once.

    Args:
        metrics: The result of :func:`~.questions.metrics_with_questions`.
        images: Files and sources, which are never replaced.
        written: Files that the experiment writes, as in :meth:`ExperimentResult.contents`, with ``{}`` for a question;
            unless replaced or continued, ``out`` must not have them.
        inputs: Other files that are never replaced.
    """
    sources = [File(image) if isinstance(image, str) else image for image in dict.fromkeys(images)]
    names = [source.name for source in sources]
    output = scores_output(written, column_names(metrics), [*names, *inputs], options)
    run = score_paths(metrics, sources, out=output, strict=True, **scoring_options(options))
    scores = run.scores(options.get("progress", silent)).under(names)
    has_scores = scores.frame[run.header.score_names].notna().all(axis=1)
    failed = {name: scores.errors[name] for name in has_scores.index[~has_scores]}
    failed |= {name: f"{name!r} is gone since an earlier run." for name in run.results.images.gone}
    if not has_scores.any():
        raise ImageError("none of the images could be scored" + end_with_reasons(failed))
    frame = scores.frame[has_scores].dropna(axis=1)  # only whole columns of an earlier run
    columns = {name: scores.columns[name] for name in frame}
    whole_scores = replace(scores, frame=frame.reindex(scores.frame.index), columns=columns)
    return ExperimentResult(frame, failed, run.header.provenance, whole_scores)


def scoring_options(options: ExperimentOptions) -> dict[str, Any]:
    """Return the options of :func:`~clipiqa_pyiqa.score_paths` among those of an experiment."""
    return {name: setting for name, setting in options.items() if name not in _OPTIONS_OF_OUTPUT}


def check_results_can_be_written(
    written: Iterable[str], questions: Sequence[str], inputs: Iterable[str], options: ExperimentOptions
) -> None:
    """Raise if a file in ``out`` must not be replaced; arguments as for :func:`scores_output`."""
    scores_output(written, questions, inputs, options)


def scores_output(
    written: Iterable[str], questions: Sequence[str], inputs: Iterable[str], options: ExperimentOptions
) -> Output | None:
    """Return the file of scores in ``out``, or None without ``out``; raise if a file there must not be replaced.

    Args:
        written, inputs: As for :func:`scored_images`.
    """
    pictures = options.get("pictures", "png")
    check_one_of("pictures", pictures, ("png", "svg", "pdf"))
    others = list[str]()
    for name in ("summary.json", *written):
        others += file_names(questions, name.replace("*", pictures)).values()
    files = create_result_files(
        options.get("out"),
        ["scores.csv"],
        others,
        inputs,
        resume=options.get("resume", False),
        overwrite=options.get("overwrite", False),
    )
    return files.get("scores.csv")
