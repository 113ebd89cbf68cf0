"""Experiment of Fig. 4: whether scores follow an attribute that changes in steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import pandas
from matplotlib.figure import Figure

from ...checks import FilePath, check_one_of, check_seed, check_whole, check_whole_or_none
from ...errors import CLIPIQAError, ImageError
from ...options import lists_options
from ...prompts.pairs import Prompts
from ...text import printable, shown
from ..names.versions import path_of_version
from ..options import Reading, SharedOptions
from ..sources.paths import each_of
from ..stats.correlation import srocc
from .changes import CHANGES
from .duration import tell_duration
from .experiment_result import ExperimentResult, end_with_reasons
from .image_versions import ImageVersion, image_versions
from .options import ExperimentOptions, Paths
from .questions import metrics_with_questions
from .sampled_files import image_files, sample_of
from .scoring import scored_images, scoring_options
from .step_curves import step_curves
from .strip import strip

_STRIP = "sweep-photos.png"
_WRITTEN = ("sweep.csv", "spearman.csv", "sweep.*", _STRIP)
_LARGEST_SCALE = 8
_PROBE_STRIDE = 5  # every fifth version of one photo is scored to learn the speed


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of images that were changed in steps.

    Attributes:
        frame: One row per image, scale, change and step. Columns: ``path``; ``scale``; ``change``; ``step`` (step 0 has
            the least of the attribute); ``amount``; one column per question.
        reading: How the images were read and shrunk.
    """

    reading: Mapping[str, Any]

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step per image, scale and change; NaN for constant scores."""
        questions = list(self.questions)
        frame = self.frame.assign(path=self.frame["path"].map(printable))
        versions = frame.groupby(["path", "scale", "change"], sort=False)[["step", *questions]]
        return versions.apply(lambda rows: rows[questions].apply(srocc, y=rows["step"])).reset_index()

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale, and per question unless each change is its own question.

        ``images`` counts images with changing scores, ``constant`` the others; ``spread`` is the standard deviation of
        Spearman's correlation.
        """
        rows = []
        scores = self.frame.groupby(["change", "scale"])
        for (change, scale), correlations in self.spearman().groupby(["change", "scale"], sort=False):
            means = scores.get_group((change, scale)).groupby("step")
            for question in self.questions_of(change):
                row: dict[str, Any] = {"change": change}
                if not self.has_own_questions:
                    row["score"] = question
                row["scale"] = scale
                row |= _summary_numbers(correlations[question], means[question].mean())
                rows.append(row)
        return pandas.DataFrame(rows)

    @property
    def has_own_questions(self) -> bool:
        """Whether each change is its own question; if not, other questions are asked of some or all changes."""
        return all(change in self.questions for change in self.frame["change"].unique())

    def questions_of(self, change: str) -> Sequence[str]:
        """Return the questions whose scores belong to a change."""
        return [change] if change in self.questions else self.questions

    def contents(self) -> dict[str, Any]:
        return {
            "sweep.csv": self.frame,
            "spearman.csv": self.spearman(),
            "sweep.*": self.curves(),
            _STRIP: self.strip(),
        }

    def strip(self) -> Figure:
        """Return a typical photo in some steps of each change, at the first scale, with its scores."""
        frame = self.frame[self.frame["scale"] == self.frame["scale"].iloc[0]]
        correlations = self.spearman().set_index(["path", "scale", "change"])
        questions = self._questions_of_changes()
        correlations_of_rows = [
            correlations.at[(printable(path), scale, change), questions[change][0]]
            for path, scale, change in zip(frame["path"], frame["scale"], frame["change"], strict=True)
        ]
        return strip(frame.assign(correlation=correlations_of_rows), questions, self.reading)

    def curves(self) -> Figure:
        """Return the mean score at each step, in a panel for each change."""
        return step_curves(self.frame, self._questions_of_changes(), self.has_own_questions, self.caption)

    def _questions_of_changes(self) -> dict[str, Sequence[str]]:
        """Return change -> the questions whose scores belong to it."""
        return {str(change): self.questions_of(str(change)) for change in self.frame["change"].unique()}


def _summary_numbers(correlations: pandas.Series, means: pandas.Series) -> dict[str, Any]:
    """Return the numbers of a row of the summary, from the images' correlations and the mean score of each step."""
    return {
        "images": correlations.count(),
        "constant": correlations.isna().sum(),
        "mean Spearman": correlations.mean(),
        "spread": correlations.std(),
        "lowest": correlations.min(),
        "first step": means.iloc[0],
        "last step": means.iloc[-1],
    }


@lists_options(ExperimentOptions, of=SharedOptions)
def sweep(
    metric: Any,
    paths: Paths,
    *,
    prompts: Prompts = None,
    changes: str | Iterable[str] = tuple(CHANGES),
    template: str | None = None,
    steps: int = 9,
    scales: Sequence[float] = (1.0, 0.5),
    sample: int | None = None,
    seed: int = 0,
    data_root: FilePath | None = None,
    **options: Unpack[ExperimentOptions],
) -> Sweep:
    """Return scores of images that are changed in steps (Fig. 4).

    Args:
        metric, prompts, template, options: As for :func:`~clipiqa_pyiqa.workbench.rank.ranking.rank`.
        paths: Images, folders and patterns, and data sets such as ``'koniq10k-1024:split=test'``, as for
            :func:`~.sampled_files.image_files`.
        changes: Names in :data:`~.changes.CHANGES`; each name is also a question, if neither a metric nor a question is
            named.
        steps: Number of steps, at least 3.
        scales: Factors, up to 8, by which width and height are multiplied before the changes.
        sample, seed: Number of images that are drawn at random, and the seed of the drawing; default all images.
        data_root: Folder of pyiqa's data sets; default ``./datasets``.
    """
    check_whole("steps", steps, 3, 1_000_000)
    check_whole_or_none("sample", sample, 1, 10_000_000)
    check_seed(seed)
    chosen = _chosen_changes(changes)
    _check_scales(scales)
    files = sample_of(image_files(paths, options.get("out"), data_root), sample, seed)
    metrics = metrics_with_questions(metric, prompts, template, chosen)
    reading = {name: setting for name, setting in options.items() if name in Reading.__dataclass_fields__}
    versions = image_versions(files, list(dict.fromkeys(scales)), [CHANGES[name] for name in chosen], steps, reading)
    different_versions = list({version.name: version for version in versions}.values())
    as_they_are: ExperimentOptions = {**options, "max_side": None, "max_pixels": None}  # versions have their size
    probes = [version for version in different_versions if version.path == files[len(files) // 2]][::_PROBE_STRIDE]
    tell_duration(metrics, different_versions, probes, scoring_options(as_they_are))
    scored = scored_images(metrics, different_versions, _WRITTEN, as_they_are, files)
    failed = {path_of_version(name): reason for name, reason in scored.failed.items()}
    frame = _frame([version for version in versions if version.path not in failed], scored.frame)
    if frame.empty:
        raise ImageError("none of the images could be scored" + end_with_reasons(failed))
    drawing = {} if sample is None else {"sample": sample, "seed": seed}
    result = Sweep(frame, failed, {**scored.provenance, **reading, **drawing}, scored.scores, reading)
    result.save_if_asked(options)
    return result


def _chosen_changes(changes: str | Iterable[str]) -> list[str]:
    """Return the names of the changes, each once. Raises ``CLIPIQAError`` for an unknown name, or without any."""
    chosen = list(dict.fromkeys(each_of(changes)))
    for name in chosen:
        check_one_of("changes", name, CHANGES)
    if not chosen:
        raise CLIPIQAError(f"changes must name at least one of {', '.join(CHANGES)}.", options=("changes",))
    return chosen


def _check_scales(scales: Sequence[float]) -> None:
    if not scales or not all(0 < scale <= _LARGEST_SCALE for scale in scales):
        raise CLIPIQAError(
            f"scales must be positive factors up to {_LARGEST_SCALE}; got {shown(list(scales))}.",
            options=("scales",),
        )


def _frame(versions: Iterable[ImageVersion], scores: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row for each version, with its scores."""
    rows = [
        (version.path, version.scale, version.change.question, version.step, version.amount, version.name)
        for version in versions
    ]
    columns = ["path", "scale", "change", "step", "amount", "name"]
    frame = pandas.DataFrame(rows, columns=columns, dtype=object)  # pandas' texts refuse names that are not UTF-8
    frame = frame.astype({"scale": float, "step": int, "amount": float})
    return frame.join(scores, on="name").drop(columns="name")
