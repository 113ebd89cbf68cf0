"""Pictures of a comparison: scores against opinion, bars, a heat map, and the images that metrics disagree about."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

from ..errors import CLIPIQAError
from ..files.names import below_common, file_name, free_name, one_line
from ..files.writing import replacing
from ..report.contact_sheet import contact_sheet, footed, headed
from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS, captioned, fading, plain_texts, subplots, width_in_inches
from ..report.table import number
from ..stats.logistic import fit_logistic
from .data_set_results import DataSetResult
from .differences import Disagreement

_POINTS = 400  # images up to which each is a point; above that, how many there are is a colour
_LONG = 60  # letters of a label in a picture
_DPI = 200  # of pictures that go into papers
_DENSITY = fading("density", (BLUE, 0.15), (BLUE, 1.0))
_SIGNED = fading("signed", (ORANGE, 0.75), (ORANGE, 0.0), (BLUE, 0.0), (BLUE, 0.75))


def save_pictures(results: Sequence[DataSetResult], folder: Path, kind: str = "png") -> None:
    """Write all pictures into a folder, for papers and slides, as ``'png'``, ``'svg'`` or ``'pdf'``.

    Photos are PNG in place of SVG. Below each picture stands which CLIP-IQA is in it.
    """
    folder.mkdir(exist_ok=True)
    taken: set[str] = set()

    def save(picture: Figure | Image.Image, said: str, *parts: str) -> None:
        """Write a file of its own, also for labels that differ in punctuation only."""
        name = free_name("-".join(map(file_name, parts)), taken)
        if isinstance(picture, Figure):
            with replacing(folder / f"{name}.{kind}") as partial:
                captioned(plain_texts(picture), said).savefig(partial, dpi=_DPI)
        else:
            with replacing(folder / f"{name}.{'png' if kind == 'svg' else kind}") as partial:
                (footed(picture, said) if said else picture).save(partial)

    for data in results:
        for label in data.scored:
            picture = histogram(data, label) if data.mos is None else scatter(data, label)
            save(picture, _which(data, [label]), data.name, label)
        said = _which(data, data.scored)
        if len(data.scored) > 1:
            save(correlation_heatmap(data), said, data.name, "heatmap")
        if data.disagreements(1):
            save(disagreement(data), said, data.name, "disagreement")
    if any(data.mos is not None for data in results):
        save(bars(results), "; ".join(dict.fromkeys(filter(None, (_which(d, d.metrics) for d in results)))), "bars")


def _which(data: DataSetResult, labels: Iterable[str]) -> str:
    """Return backbone and weights of each CLIP-IQA among some metrics."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        said = data.metrics[label].provenance
        if {"backbone", "weights"} <= set(said):
            alike.setdefault(f"CLIP-IQA, {said['backbone']}, {said['weights']}", []).append(one_line(label))
    return "; ".join(f"{' and '.join(names)}: {which}" for which, names in alike.items())


@matplotlib.rc_context(STYLE)
def scatter(data: DataSetResult, label: str) -> Figure:
    """Draw a metric's scores (across) against opinion (up), both as they came, with a logistic fit.

    Few images are points; many are hexagons whose colour is how many images fall into them.

    Raises:
        CLIPIQAError: The data set has no opinion scores, or the metric no scores.
    """
    if data.mos is None:
        raise CLIPIQAError(f"{data.name!r} has no opinion scores to set scores against.")
    scores = _scores(data, label)
    mos, found = data.mos.loc[scores.index], data.estimates[label]
    figure, axes = subplots(3.6, 3.3)
    if len(scores) <= _POINTS:
        axes.scatter(scores, mos, s=13, color=BLUE, alpha=0.55, linewidths=0)
    else:
        cells = axes.hexbin(scores, mos, gridsize=32, mincnt=1, cmap=_DENSITY, norm=LogNorm(), linewidths=0)
        cells.set_rasterized(True)
        scale = figure.colorbar(cells, ax=axes, label="images per cell", shrink=0.7, pad=0.02, format="%d")
        scale.solids.set_rasterized(True)  # type: ignore[union-attr]
    if reason := found["SROCC"].reason:
        said = f"no correlation: {reason}"
    else:
        said = f"SROCC {number(found['SROCC'].value)}, PLCC {number(found['PLCC'].value)}, n = {len(scores)}"
        try:
            curve, across = fit_logistic(scores, mos, data.fit_parameters), np.linspace(*_ends(scores), 200)
            axes.plot(across, curve(across), color=ORANGE, linewidth=2, label=f"logistic fit, {curve.shape}")
            axes.legend(loc="best", frameon=False, fontsize=7.5)
        except ValueError as error:
            said += f"\n({error})"
    axes.set_title("\n".join(map(_wrapped, [_short(label), *said.split("\n")])), **WORDS)
    axes.set_xlabel(_across(data, label), **WORDS)
    axes.set_ylabel("DMOS, lower is better" if data.mos_lower_better else "MOS, higher is better")
    return figure


@matplotlib.rc_context(STYLE)
def bars(results: Sequence[DataSetResult], statistic: str = "SROCC") -> Figure:
    """Draw correlations with their intervals, a panel per data set with opinion scores, the best metric on top.

    A diamond is the published value. Where there is no correlation, the panel says why.

    Raises:
        CLIPIQAError: No data set has opinion scores.
    """
    rated = [data for data in results if data.mos is not None]
    if not rated:
        raise CLIPIQAError("No data set has opinion scores, so there are no correlations to draw.")
    heights = [len(data.metrics) * 0.3 + 0.75 for data in rated]
    width = 4.6 + _room([label for data in rated for label in data.metrics])
    figure = Figure(figsize=(width, sum(heights) + 0.1), layout="constrained")
    panels = figure.subplots(len(rated), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, data in zip(panels, rated, strict=True):
        _bars(axes, data, statistic)
    return figure


def _bars(axes: Axes, data: DataSetResult, statistic: str) -> None:
    found = {label: estimates[statistic] for label, estimates in data.estimates.items()}
    order = sorted(found, key=lambda label: -math.inf if math.isnan(found[label].value) else found[label].value)
    for place, (label, estimate) in enumerate((label, found[label]) for label in order):
        if math.isnan(estimate.value):
            text = "failed" if data.metrics[label].error else f"undefined: {estimate.reason}"
            axes.text(0.01, place, one_line(text), va="center", style="italic", fontsize=8, **WORDS)
            continue
        axes.barh(place, estimate.value, height=0.62, color=BLUE, alpha=0.6)
        axes.plot([estimate.low, estimate.high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
        axes.text(1.03, place, number(estimate.value), va="center", ha="left", fontsize=8.5)
        if (published := data.published(label)) and not math.isnan(published[statistic]):
            axes.plot(published[statistic], place, "D", color=ORANGE, markersize=5, label="published")
    axes.set_yticks(range(len(order)), list(map(_short, order)), **WORDS)
    axes.tick_params(left=False)
    axes.set_xlim(1.05 * np.nanmin([0.0, *(v for e in found.values() for v in (e.value, e.low))]), 1.0)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(one_line(data.name), **WORDS)
    said = f"{statistic}, positive is good" + "; the line is the 95 % interval" * (data.bootstrap > 0)
    axes.set_xlabel(said, loc="right")  # so that it has the room of long labels too
    if handles := axes.get_legend_handles_labels()[0]:
        axes.legend(handles=handles[:1], frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)


@matplotlib.rc_context(STYLE)
def correlation_heatmap(data: DataSetResult) -> Figure:
    """Draw SROCC between each two metrics, and between each and opinion, all of them turned so that high is good.

    Where a correlation is undefined, the field holds a dash.

    Raises:
        CLIPIQAError: The data set has scores of no metric.
    """
    table, names = data.oriented_scores[data.scored], list(map(_short, data.scored))
    if not names:
        raise CLIPIQAError(f"No metric has scores on {data.name!r}.")
    if data.oriented_mos is not None:
        table.insert(0, None, data.oriented_mos)
        names.insert(0, "opinion")
    values, constant = table.corr(method="spearman", min_periods=3).to_numpy(copy=True), table.nunique() < 2
    values[constant, :] = values[:, constant] = np.nan
    side, room = max(2.4, 0.44 * len(names)), _room(names)
    figure, axes = subplots(side + 1.5 + room, side + 1.2 + 0.7 * room)
    axes.pcolormesh(np.ma.masked_invalid(values), cmap=_SIGNED, vmin=-1, vmax=1, edgecolors="none")
    for (row, column), value in np.ndenumerate(values):
        text = "–" if math.isnan(value) else f"{value:.2f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8)
    ticks = np.arange(len(names)) + 0.5
    axes.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor", **WORDS)
    axes.set_yticks(ticks, names, **WORDS)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.set_aspect("equal", anchor="E")  # away from the labels
    axes.set_title("SROCC between metrics\nall turned so that high is good", fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def histogram(data: DataSetResult, label: str) -> Figure:
    """Draw how often a metric gave which score.

    Raises:
        CLIPIQAError: The metric has no scores.
    """
    scores = _scores(data, label)
    figure, axes = subplots(3.6, 2.4)
    axes.hist(scores, bins="sturges", color=BLUE, alpha=0.7)
    axes.set_title(f"{_wrapped(_short(label))}\nn = {len(scores)}", **WORDS)
    axes.set_xlabel(_across(data, label), **WORDS)
    axes.set_ylabel("images")
    return figure


def disagreement(data: DataSetResult, count: int = 10) -> Image.Image:
    """Return the images about which metrics disagree most, as a sheet that says where the two extremes place each.

    Raises:
        CLIPIQAError: Fewer than two metrics tell images apart.
    """
    chosen = data.disagreements(count)
    if not chosen:
        raise CLIPIQAError(f"Disagreement on {data.name!r} needs two metrics that tell images apart.")
    names = below_common([str(path) for path in data.scores.index])
    sheet = contact_sheet([Path(one.path) for one in chosen], [_caption(one, names[one.path]) for one in chosen])
    return headed({"Where metrics disagree most: above how many of the images each places one": sheet})


def _caption(one: Disagreement, name: str) -> str:
    first, *_, last = one.places.items()
    placed = [first, last, *[("people", one.opinion)] * (one.opinion is not None)]
    return "\n".join([one_line(name), *(f"{one_line(who)}: above {100 * (share or 0):.0f} %" for who, share in placed)])


def _scores(data: DataSetResult, label: str) -> pandas.Series:
    scores = data.scores[label].dropna()
    if scores.empty:
        raise CLIPIQAError(f"{label!r} has no scores on {data.name!r}: {data.metrics[label].error or 'none was made'}")
    return scores


def _ends(scores: pandas.Series) -> tuple[float, float]:
    return float(scores.min()), float(scores.max())


def _across(data: DataSetResult, label: str) -> str:
    return _wrapped(f"{_short(label)} score, {data.metrics[label].direction} is better")


def _short(label: str) -> str:
    """Return a label for a picture; of a very long one, its two ends."""
    text = one_line(label)
    return text if len(text) <= _LONG else f"{text[: _LONG // 2 - 1]}…{text[-_LONG // 2 :]}"


def _wrapped(text: str) -> str:
    """Return words in lines as wide as a small picture."""
    return textwrap.fill(text, 38)


def _room(labels: Sequence[str]) -> float:
    """Return how many inches more a picture needs so that the longest label stands beside it in full."""
    return max(0.0, width_in_inches([_short(label) for label in labels]) - 0.8)
