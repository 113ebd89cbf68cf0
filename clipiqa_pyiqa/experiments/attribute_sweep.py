"""Experiment of Fig. 4: whether scores follow an attribute that changes in steps."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure
from PIL import Image, ImageEnhance, ImageFilter

from ..errors import CLIPIQAError, ImageError, Reading, checked, choice, shown
from ..files.printable import printable
from ..images.image import File, read_image
from ..images.image import Image as AnyImage
from ..images.memory import set_aside
from ..prompts.pairs import Prompts
from ..report.pictures import COLOURS, STYLE, captioned
from ..sources.finding import each_of, find_inputs
from ..stats.correlation import srocc
from .experiment import ExperimentOptions, ExperimentResult, Paths, asked, because, score_files

_MOST_SCALE = 8
_PICTURES_KEPT = 2  # decoded images at a scale, which all of their versions share


@dataclass(frozen=True)
class Change:
    """A change of one attribute of an image.

    Attributes:
        question: Name of the prompt pair whose score should grow from ``first`` to ``last``.
    """

    question: str
    first: float
    last: float
    plain: float
    unit: str
    apply: Callable[[Image.Image, float], Image.Image]


def _noise(image: Image.Image, sigma: float) -> Image.Image:
    # PIL's effect_noise takes no seed. All steps use the same noise pattern, so that only its strength differs.
    grain = np.random.default_rng(0).standard_normal((image.height, image.width, 3), dtype=np.float32)
    grain *= sigma
    grain += np.asarray(image)
    return Image.fromarray(grain.round(out=grain).clip(0, 255, out=grain).astype(np.uint8))


def _enhanced(enhancer: Callable[[Image.Image], Any]) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, factor: enhancer(image).enhance(factor)


CHANGES = {
    change.question: change
    for change in (
        Change(
            "brightness", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Brightness", _enhanced(ImageEnhance.Brightness)
        ),
        Change("noisiness", 48.0, 0.0, 0.0, "standard deviation of noise, of 255", _noise),
        Change("colorfulness", 0.0, 2.0, 1.0, "factor of PIL's ImageEnhance.Color", _enhanced(ImageEnhance.Color)),
        Change(
            "sharpness",
            4.0,
            0.0,
            0.0,
            "radius of PIL's GaussianBlur, in pixels",
            lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)),
        ),
        Change("contrast", 0.2, 1.8, 1.0, "factor of PIL's ImageEnhance.Contrast", _enhanced(ImageEnhance.Contrast)),
    )
}
"""Changes of the paper's five attributes. The paper names only PIL, so amounts, noise and blur are our choice."""


@dataclass(frozen=True)
class _Version(AnyImage):
    """A changed image; ``scaled`` returns it at a scale, ``how`` says what else it depends on."""

    path: str
    scale: float
    change: Change
    step: int
    amount: float
    scaled: Callable[[str, float], Image.Image]
    how: str

    @property
    def name(self) -> str:  # type: ignore[override]  # changes that leave the image as it is have one name
        words = "as it is" if self.amount == self.change.plain else f"{self.change.question} {self.amount:g}"
        return f"{self.path} [scale {self.scale:g}, {words}]"

    def stamp(self) -> str:
        return f"{File(self.path).stamp()} {self.how}"

    def read(self) -> bytes:
        picture = self.change.apply(self.scaled(self.path, self.scale), self.amount)
        picture.save(file := io.BytesIO(), "PPM")
        return file.getvalue()


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of images that were changed in steps.

    Attributes:
        frame: One row per image, scale, change and step. Columns: ``path``; ``scale``; ``change``; ``step`` (step 0 has
            the least of the attribute); ``amount``; one column per question.
    """

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step per image, scale and change; NaN for constant scores."""
        frame = self.frame.assign(path=self.frame["path"].map(printable))
        versions = frame.groupby(["path", "scale", "change"], sort=False)[["step", *self.questions]]
        return versions.apply(lambda rows: rows[list(self.questions)].apply(srocc, y=rows["step"])).reset_index()

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale (and per question, if none has the change's name).

        ``images`` counts images with changing scores, ``constant`` the others; ``spread`` is the standard deviation of
        Spearman's correlation.
        """
        keys, rows = ["change", "scale"], []
        scores = self.frame.groupby(keys)
        for (change, scale), correlations in self.spearman().groupby(keys, sort=False):
            for name in self.shown(change):
                found, means = correlations[name], scores.get_group((change, scale)).groupby("step")[name].mean()
                row = {
                    "change": change,
                    **({} if name == change else {"score": name}),
                    "scale": scale,
                    "images": found.count(),
                    "constant": found.isna().sum(),
                    "mean Spearman": found.mean(),
                    "spread": found.std(),
                    "lowest": found.min(),
                    "first step": means.iloc[0],
                    "last step": means.iloc[-1],
                }
                rows.append(row)
        return pandas.DataFrame(rows)

    def shown(self, change: str) -> Sequence[str]:
        """Return the questions whose scores belong to a change."""
        return [change] if change in self.questions else self.questions

    def contents(self) -> dict[str, Any]:
        return {"sweep.csv": self.frame, "spearman.csv": self.spearman(), "sweep.*": self.curves()}

    @matplotlib.rc_context(STYLE)
    def curves(self) -> Figure:
        changes = self.frame.groupby("change", sort=False)
        figure = Figure(figsize=(3 * len(changes) + 1.5, 3), layout="constrained")
        panels = figure.subplots(1, len(changes), squeeze=False)[0]
        for axes, (name, scores) in zip(panels, changes, strict=True):
            change, by_scale = CHANGES[str(name)], scores.groupby("scale", sort=False)
            lines = [(scale, rows, name) for scale, rows in by_scale for name in self.shown(change.question)]
            for colour, (scale, rows, question) in zip(COLOURS * len(lines), lines, strict=False):
                steps = rows.groupby("amount", sort=False)[question]
                means, low, high = steps.mean(), steps.quantile(0.1), steps.quantile(0.9)
                label = f"scale {scale:g}" if question == change.question else f"{question}, scale {scale:g}"
                axes.fill_between(means.index, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(means, color=colour, linewidth=2, marker="o", markersize=3.5, label=label)
            if change.first > change.last:
                axes.invert_xaxis()  # the attribute grows to the right
            axes.set(title=change.question, ylabel="score")
            if self.frame[list(self.questions)].stack().between(0, 1).all():
                axes.set_ylim(-0.02, 1.02)
            axes.set_xlabel(change.unit, fontsize=8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        figure.suptitle(f"Mean of {self.frame['path'].nunique()} images; band: the middle 80 % of them", fontsize=10)
        return captioned(figure, self.caption)


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
        changes: Names in :data:`CHANGES`; each name is also a question, if neither a metric nor a question is named.
        steps: Number of steps, at least 3.
        scales: Factors, up to 8, by which width and height are multiplied before the changes.
    """
    chosen = {name: choice("changes", name, CHANGES) for name in each_of(changes)}
    if not chosen:
        raise CLIPIQAError(f"changes must name at least one of {', '.join(CHANGES)}.")
    if not scales or not all(0 < scale <= _MOST_SCALE for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors up to {_MOST_SCALE}; got {shown(list(scales))}.")
    files = find_inputs(paths, options.get("out"))
    metrics = asked(metric, prompts, template, list(chosen))
    limits: dict[str, Any] = {name: value for name, value in options.items() if name in Reading.__dataclass_fields__}

    @functools.lru_cache(_PICTURES_KEPT)
    def scaled(path: str, scale: float) -> Image.Image:
        """Return an image with sides multiplied by ``scale``, if there is memory for it."""
        record = read_image(path, **limits)
        size = width, height = [max(1, round(side * scale)) for side in record.size]
        set_aside(path, width, height)
        return record.picture if scale == 1 else record.picture.resize(size, Image.Resampling.LANCZOS)

    planned = [
        _Version(path, scale, change, step, round(float(amount), 6), scaled, str(limits))
        for path, scale, change in itertools.product(files, dict.fromkeys(scales), chosen.values())
        for step, amount in enumerate(np.linspace(change.first, change.last, steps))
    ]
    as_they_are: ExperimentOptions = {**options, "max_side": None, "max_pixels": None}
    results = ["sweep.csv", "spearman.csv", "sweep.*"]
    scores = score_files(metrics, {each.name: each for each in planned}.values(), results, files, **as_they_are)
    failed = {name.rpartition(" [")[0]: error for name, error in scores.failed.items()}
    rows = [
        (each.path, each.scale, each.change.question, each.step, each.amount, each.name)
        for each in planned
        if each.path not in failed
    ]
    if not rows:
        raise ImageError("none of the images could be scored" + because(failed))
    head = ["path", "scale", "change", "step", "amount", "name"]
    frame = pandas.DataFrame(rows, columns=head, dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = frame.astype({"scale": float, "step": int, "amount": float})
    frame = frame.join(scores.frame, on="name").drop(columns="name")
    known = {"frame": frame, "failed": failed, "provenance": {**scores.provenance, **limits}}
    return Sweep(**{**vars(scores), **known}).saved(options)
