"""Experiment of Fig. 4: whether scores follow an attribute that changes in steps."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import matplotlib
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ...checks import checked, choice
from ...errors import CLIPIQAError, ImageError
from ...files.printable import printable
from ...prompts.pairs import Prompts
from ...text import shown
from ..images.image import File, read_image
from ..images.image import Image as AnyImage
from ..images.memory import set_aside
from ..options import Reading
from ..report.pictures import COLOURS, STYLE, captioned
from ..sources.finding import each_of, find_inputs
from ..stats.correlation import srocc
from .changes import CHANGES, Change
from .experiment_result import ExperimentResult, end_with_reasons
from .options import ExperimentOptions, Paths
from .questions import metrics_with_questions
from .scoring import scored_images

_WRITTEN = ("sweep.csv", "spearman.csv", "sweep.*")
_LARGEST_SCALE = 8
_IMAGES_KEPT = 2  # decoded images at a scale, which all of their versions share


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of images that were changed in steps.

    Attributes:
        frame: One row per image, scale, change and step. Columns: ``path``; ``scale``; ``change``; ``step`` (step 0 has
            the least of the attribute); ``amount``; one column per question.
    """

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step per image, scale and change; NaN for constant scores."""
        questions = list(self.questions)
        frame = self.frame.assign(path=self.frame["path"].map(printable))
        versions = frame.groupby(["path", "scale", "change"], sort=False)[["step", *questions]]
        return versions.apply(lambda rows: rows[questions].apply(srocc, y=rows["step"])).reset_index()

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale (and per question, if none has the change's name).

        ``images`` counts images with changing scores, ``constant`` the others; ``spread`` is the standard deviation of
        Spearman's correlation.
        """
        rows = []
        scores = self.frame.groupby(["change", "scale"])
        for (change, scale), correlations in self.spearman().groupby(["change", "scale"], sort=False):
            means = scores.get_group((change, scale)).groupby("step")
            for question in self.questions_of(change):
                row: dict[str, Any] = {"change": change}
                if question != change:
                    row["score"] = question
                row["scale"] = scale
                row |= _summary_numbers(correlations[question], means[question].mean())
                rows.append(row)
        return pandas.DataFrame(rows)

    def questions_of(self, change: str) -> Sequence[str]:
        """Return the questions whose scores belong to a change."""
        return [change] if change in self.questions else self.questions

    def contents(self) -> dict[str, Any]:
        return {"sweep.csv": self.frame, "spearman.csv": self.spearman(), "sweep.*": self.curves()}

    @matplotlib.rc_context(STYLE)
    def curves(self) -> Figure:
        """Return the mean score at each step, in a panel for each change."""
        frames = self.frame.groupby("change", sort=False)
        figure = Figure(figsize=(3 * len(frames) + 1.5, 3), layout="constrained")
        panels = figure.subplots(1, len(frames), squeeze=False)[0]
        for axes, (name, frame) in zip(panels, frames, strict=True):
            self._draw_curves(axes, CHANGES[str(name)], frame)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        figure.suptitle(f"Mean of {self.frame['path'].nunique()} images; band: the middle 80 % of them", fontsize=10)
        return captioned(figure, self.caption)

    def _draw_curves(self, axes: Axes, change: Change, frame: pandas.DataFrame) -> None:
        """Draw a curve for each scale and question of a change."""
        colours = itertools.cycle(COLOURS)
        for scale, rows in frame.groupby("scale", sort=False):
            for question in self.questions_of(change.question):
                scores = rows.groupby("amount", sort=False)[question]
                means = scores.mean()
                colour = next(colours)
                label = f"scale {scale:g}" if question == change.question else f"{question}, scale {scale:g}"
                band = (scores.quantile(0.1), scores.quantile(0.9))
                axes.fill_between(means.index, *band, color=colour, alpha=0.15, linewidth=0)
                axes.plot(means, color=colour, linewidth=2, marker="o", markersize=3.5, label=label)
        if change.first > change.last:
            axes.invert_xaxis()  # the attribute grows to the right
        axes.set(title=change.question, ylabel="score")
        if self.frame[list(self.questions)].stack().between(0, 1).all():
            axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(change.unit, fontsize=8)


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


@checked
def sweep(
    metric: Any,
    paths: Paths,
    *,
    prompts: Prompts = None,
    changes: str | Iterable[str] = tuple(CHANGES),
    template: str | None = None,
    steps: int = 9,
    scales: Sequence[float] = (1.0, 0.5),
    **options: Unpack[ExperimentOptions],
) -> Sweep:
    """Return scores of images that are changed in steps (Fig. 4).

    Args:
        metric, paths, prompts, template, options: As for :func:`~.ranking.rank`.
        changes: Names in :data:`~.changes.CHANGES`; each name is also a question, if neither a metric nor a question is
            named.
        steps: Number of steps, at least 3.
        scales: Factors, up to 8, by which width and height are multiplied before the changes.
    """
    chosen = {name: choice("changes", name, CHANGES) for name in each_of(changes)}
    if not chosen:
        raise CLIPIQAError(f"changes must name at least one of {', '.join(CHANGES)}.")
    if not scales or not all(0 < scale <= _LARGEST_SCALE for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors up to {_LARGEST_SCALE}; got {shown(list(scales))}.")
    files = find_inputs(paths, options.get("out"))
    metrics = metrics_with_questions(metric, prompts, template, list(chosen))
    limits = {name: limit for name, limit in options.items() if name in Reading.__dataclass_fields__}
    versions = _versions(files, list(dict.fromkeys(scales)), list(chosen.values()), steps, limits)
    different_versions = {version.name: version for version in versions}.values()
    as_they_are: ExperimentOptions = {**options, "max_side": None, "max_pixels": None}  # versions have their size
    scored = scored_images(metrics, different_versions, _WRITTEN, as_they_are, files)
    failed = {_path_of(name): reason for name, reason in scored.failed.items()}
    frame = _frame([version for version in versions if version.path not in failed], scored.frame)
    if frame.empty:
        raise ImageError("none of the images could be scored" + end_with_reasons(failed))
    result = Sweep(frame, failed, {**scored.provenance, **limits}, scored.scores)
    result.save_if_asked(options)
    return result


@dataclass(frozen=True)
class _Version(AnyImage):
    """A changed image.

    Attributes:
        scaled: Returns the image at a scale.
        limits: What the image depends on, besides its file, scale and change.
    """

    path: str
    scale: float
    change: Change
    step: int
    amount: float
    scaled: Callable[[str, float], Image.Image]
    limits: str

    @property
    def name(self) -> str:  # type: ignore[override]  # changes that leave the image as it is have one name
        words = "as it is" if self.amount == self.change.plain else f"{self.change.question} {self.amount:g}"
        return f"{self.path} [scale {self.scale:g}, {words}]"

    def stamp(self) -> str:
        return f"{File(self.path).stamp()} {self.limits}"

    def read(self) -> bytes:
        changed = self.change.apply(self.scaled(self.path, self.scale), self.amount)
        file = io.BytesIO()
        changed.save(file, "PPM")
        return file.getvalue()


def _path_of(name: str) -> str:
    """Return the path in a version's name, also of a version of an earlier run."""
    return name.rpartition(" [")[0]


def _versions(
    files: Sequence[str],
    scales: Sequence[float],
    changes: Sequence[Change],
    steps: int,
    limits: Mapping[str, Any],
) -> list[_Version]:
    """Return all versions of the images; those of one image at one scale follow each other."""
    scaled = _scaled_images(limits)
    return [
        _Version(path, scale, change, step, amount, scaled, str(limits))
        for path, scale, change in itertools.product(files, scales, changes)
        for step, amount in enumerate(change.amounts(steps))
    ]


def _scaled_images(limits: Mapping[str, Any]) -> Callable[[str, float], Image.Image]:
    """Return a function that reads an image, if there is memory for it, and multiplies its sides by a scale."""

    @functools.lru_cache(_IMAGES_KEPT)
    def scaled(path: str, scale: float) -> Image.Image:
        record = read_image(path, **limits)
        width, height = [max(1, round(side * scale)) for side in record.size]
        set_aside(path, width, height)
        if scale == 1:
            return record.picture
        return record.picture.resize((width, height), Image.Resampling.LANCZOS)

    return scaled


def _frame(versions: Iterable[_Version], scores: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row for each version, with its scores."""
    rows = [
        (version.path, version.scale, version.change.question, version.step, version.amount, version.name)
        for version in versions
    ]
    columns = ["path", "scale", "change", "step", "amount", "name"]
    frame = pandas.DataFrame(rows, columns=columns, dtype=object)  # pandas' texts refuse names that are not UTF-8
    frame = frame.astype({"scale": float, "step": int, "amount": float})
    return frame.join(scores, on="name").drop(columns="name")
