"""Experiment of Fig. 4: whether scores follow an attribute that changes in steps."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import matplotlib
import numpy as np
import pandas
import torch
from matplotlib.figure import Figure
from PIL import Image

from ..errors import CLIPIQAError, ImageError, counted, shown
from ..errors.arguments import checked
from ..images.memory import set_aside
from ..images.reader import ImageRecord
from ..images.source import FileSource
from ..metric import choice, net_of, scoring_bytes
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..report.plotting import COLOURS, STYLE
from ..scoring.engine import Item, plan, score_items
from ..scoring.result_files import open_results
from ..scoring.rows import Header, printable
from ..scoring.score import ScoringRun, ScoringSetup
from ..stats.correlation import MIN_IMAGES, srocc
from .experiment import ExperimentResult, Paths, because, find_images, prepare, rows_of, saved
from .picture_changes import CHANGES, Change, read_scaled

_MOST_SCALE = 8
_PICTURES_KEPT = 2  # decoded images at a scale, which all of their versions share
_CHANGING = 20  # bytes per pixel for a change: three fp32 numbers of noise, and 8-bit copies


@dataclass(frozen=True)
class _Version(Item):
    """A changed image, which is scored; ``read`` returns the image at a scale."""

    path: str
    scale: float
    change: Change
    step: int
    amount: float
    seed: int
    read: Callable[[str, float], Image.Image]

    @property
    def name(self) -> str:  # changes that leave the image as it is have one name
        words = "as it is" if self.amount == self.change.plain else f"{self.change.question} {self.amount:g}"
        return f"{self.path} [scale {self.scale:g}, {words}]"

    def stamp(self) -> str | None:
        return FileSource(self.path).stamp()

    def load(self) -> ImageRecord:
        picture = self.read(self.path, self.scale)
        set_aside(self.path, picture.width, picture.height, decoding=_CHANGING)
        picture = self.change.apply(picture, self.amount, self.seed)
        return ImageRecord.of(self.name, torch.from_numpy(np.array(picture)).permute(2, 0, 1))  # (H, W, 3) -> (3, H, W)


@dataclass(frozen=True)
class Sweep(ExperimentResult):
    """Scores of images that were changed in steps.

    Attributes:
        frame: One row per image, scale, change and step. Columns: ``path``; ``scale``; ``width`` and ``height`` of
            the scored image; ``change``; ``step`` (step 0 has the least of the attribute); ``amount``; one column
            per question.
        questions: Names of the questions; the changes' names come first.
    """

    def spearman(self) -> pandas.DataFrame:
        """Return Spearman's correlation of score with step per image, scale and change; NaN for constant scores."""
        frame = self.frame.assign(path=self.frame["path"].map(printable))
        versions = frame.groupby(["path", "scale", "change"], sort=False)[["step", *self.questions]]
        return versions.apply(lambda rows: rows[list(self.questions)].apply(srocc, y=rows["step"])).reset_index()

    def summary(self) -> pandas.DataFrame:
        """Return one row per change and scale, with the scores of the question that has the change's name.

        ``images`` counts images with changing scores, ``constant`` images with constant scores; ``spread`` is the
        standard deviation of Spearman's correlation.
        """
        spearman = self.spearman()
        rows = []
        for change, scale in itertools.product(self.frame["change"].unique(), self.frame["scale"].unique()):
            scores, correlations = (
                frame.loc[(frame["change"] == change) & (frame["scale"] == scale)] for frame in (self.frame, spearman)
            )
            found, means = correlations[change], scores.groupby("step")[change].mean()
            row = {"change": change, "scale": scale, "images": found.count(), "constant": found.isna().sum()}
            row |= {"mean Spearman": found.mean(), "spread": found.std(), "lowest": found.min()}
            rows.append(row | {"first step": means.iloc[0], "last step": means.iloc[-1]})
        return pandas.DataFrame(rows)

    def contents(self) -> dict[str, Any]:
        return {"sweep.csv": self.frame, "spearman.csv": self.spearman(), "sweep.png": self.curves()}

    @matplotlib.rc_context(STYLE)
    def curves(self) -> Figure:
        changes = self.frame.groupby("change", sort=False)
        figure = Figure(figsize=(3 * len(changes) + 1.5, 3), layout="constrained")
        panels = figure.subplots(1, len(changes), squeeze=False)[0]
        for axes, (name, scores) in zip(panels, changes, strict=True):
            change, by_scale = CHANGES[str(name)], scores.groupby("scale", sort=False)
            for colour, (scale, rows) in zip(COLOURS * len(by_scale), by_scale, strict=False):
                steps = rows.groupby("amount", sort=False)[change.question]
                means, low, high = steps.mean(), steps.quantile(0.1), steps.quantile(0.9)
                axes.fill_between(means.index, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(means, color=colour, linewidth=2, marker="o", markersize=3.5, label=f"scale {scale:g}")
            if change.first > change.last:
                axes.invert_xaxis()  # the attribute grows to the right
            axes.set(ylim=(-0.02, 1.02), title=change.question, ylabel="score")
            axes.set_xlabel(change.unit, fontsize=8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        figure.suptitle(f"Mean of {self.frame['path'].nunique()} images; band: the middle 80 % of them", fontsize=10)
        return figure


@checked
def sweep(
    metric: Any,
    paths: Paths,
    *,
    changes: str | Iterable[str] = tuple(CHANGES),
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    template: str | None = None,
    steps: int = 9,
    scales: Sequence[float] = (1.0, 0.5),
    sample: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Sweep:
    """Return scores of images that are changed in steps (Fig. 4).

    Args:
        metric, paths, template, options: As for :func:`~.ranking.rank`.
        changes: Names in :data:`~.picture_changes.CHANGES`; each name is also a question.
        prompts: Further questions, one column each.
        steps: Number of steps, at least 3.
        scales: Factors, up to 8, by which width and height are multiplied before the changes.
        sample: Number of images to draw at random; by default all.
        seed: Seed of sample and noise.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    names = [changes] if isinstance(changes, str) else changes
    chosen = {name: choice("changes", name, CHANGES) for name in names}
    if not chosen:
        raise CLIPIQAError(f"changes must name at least one of {', '.join(CHANGES)}.")
    if steps < MIN_IMAGES:
        raise CLIPIQAError(f"steps must be at least {MIN_IMAGES}; got {steps}.")
    if not scales or not all(0 < scale <= _MOST_SCALE for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors up to {_MOST_SCALE}; got {shown(list(scales))}.")
    files = find_images(paths, options.get("out"))
    if sample is not None:
        if sample > len(files):
            raise CLIPIQAError(f"sample must be at most the {counted(len(files), 'image')} given; got {sample}.")
        files = sorted(random.Random(seed).sample(sorted(files), sample))
    columns = parse_columns(list(chosen), template)
    columns = Columns(columns if prompts is None else columns | parse_columns(prompts, template))
    output, progress, limits = prepare(("sweep.csv", "spearman.csv", "sweep.png"), files, **options)
    setup = ScoringSetup(metric, columns, **limits)
    cost = scoring_bytes(net_of(metric), setup.device)
    read = functools.lru_cache(_PICTURES_KEPT)(functools.partial(read_scaled, cost=cost, **setup.limits))
    planned = [
        _Version(path, scale, change, step, amount, seed, read)
        for path, scale, change in itertools.product(files, dict.fromkeys(scales), chosen.values())
        for step, amount in enumerate(change.amounts(steps))
    ]
    versions = {version.name: version for version in planned}
    header = Header(tuple(columns), {**setup.header.provenance, "noise_seed": seed})
    writer = None if output is None else open_results(output, header)
    known = None if writer is None else writer.earlier.knows
    # versions of an image share batches, in which equal pictures get equal scores
    tasks = plan(versions.values(), setup.metrics, setup.options, known, apart=attrgetter("path", "scale"))
    run = ScoringRun(header, score_items(tasks, setup.metrics, setup.options), writer)
    found = rows_of(run, output, progress, len(versions))
    rows = [(version, found[printable(version.name)]) for version in planned]
    failed = {version.path: row.error for version, row in rows if row.scores is None}
    if len(failed) == len(files):
        raise ImageError("none of the images could be scored" + because(failed))
    scored = [(version, row) for version, row in rows if version.path not in failed]
    table = [
        (
            each.scale,
            row.scored_width,
            row.scored_height,
            each.change.question,
            each.step,
            each.amount,
            *(row.scores or ()),
        )
        for each, row in scored
    ]
    frame = pandas.DataFrame(table, columns=["scale", "width", "height", "change", "step", "amount", *columns])
    # pandas' own text type refuses names that are not UTF-8
    frame.insert(0, "path", pandas.Series([version.path for version, _ in scored], dtype=object))
    return saved(Sweep(frame, tuple(columns), failed, header.provenance), options)
