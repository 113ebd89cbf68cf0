"""Trials of changed metrics that may explain why published numbers differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas
import torch

from ..metrics import parse_metrics
from .expected import Expected
from .table_metrics import TableMetric
from .values import MethodScores
from .views import View

_MATLAB, _FULL, _RGB = "Y of YCbCr (16 to 235)", "Y of YIQ (0 to 255)", "RGB"
_Y: dict[str, dict[str, Any]] = {
    _MATLAB: {"test_y_channel": True, "color_space": "ycbcr"},
    _FULL: {"test_y_channel": True, "color_space": "yiq"},
}
_CLIPIQA = {
    "five prompt pairs": ("clipiqa", {"prompts": "pyiqa"}),
    "one prompt pair": ("clipiqa", {"prompts": "quality"}),
    **{name: (name, {}) for name in ("clipiqa+", "clipiqa+_vitL14_512")},
}
_VARIANTS: list[tuple[tuple[str, ...], dict[str, tuple[str, dict[str, Any]]]]] = [
    # pyiqa's names of a metric's variants; then change -> name and options of the changed metric
    (("psnr", "psnry"), {_RGB: ("psnr", {}), **{name: ("psnr", y) for name, y in _Y.items()}}),
    (("ssim", "ssimc"), {_RGB: ("ssimc", {}), **{name: ("ssim", y) for name, y in _Y.items()}}),
    (("clipiqa", "clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512"), _CLIPIQA),
    (
        ("niqe", "niqe_matlab"),
        {
            "LIVE's parameters": ("niqe", {}),
            "MATLAB's parameters": ("niqe_matlab", {}),
            f"LIVE's parameters, {_MATLAB}": ("niqe", _Y[_MATLAB]),
        },
    ),
    (("maniqa", "maniqa-pipal"), {"KonIQ": ("maniqa", {}), "PIPAL": ("maniqa-pipal", {})}),
    (("musiq", "musiq-spaq"), {"KonIQ": ("musiq", {}), "SPAQ": ("musiq-spaq", {})}),
    (("lpips", "lpips-vgg"), {"AlexNet": ("lpips", {}), "VGG": ("lpips-vgg", {})}),
]
_ALPHA = "alpha dropped"
_WEIGHTS = ("backbone", "clip_weights", "pretrained_model_path")  # options that a change keeps


def explain(
    wrong: Sequence[Expected],
    metrics: Sequence[TableMetric],
    score: Callable[[list[TableMetric], bool], MethodScores],
    has_alpha: bool,
) -> pandas.DataFrame:
    """Return a trial of every change to the metrics whose published numbers differ.

    Args:
        score: Function that scores the pictures with given metrics; True drops alpha (transparency).

    Returns:
        Columns ``test_set``, ``method``, ``metric``, ``change``, ``value``, ``units`` (above the published number),
        ``verdict`` (``'fits'``, ``'refuted'``, ``'not tried'``), ``reason``.
    """
    of_wrong = {each.metric for each in wrong}
    tried = {m.spec.label: dict(_changes(m, has_alpha)) for m in metrics if m.spec.label in of_wrong}
    found: dict[str, MethodScores] = {}
    for is_dropped in (False, True):
        variants = [
            replace(variant, spec=replace(variant.spec, label=f"{label}, {change}"))
            for label, changes in tried.items()
            for change, variant in changes.items()
            if isinstance(variant, TableMetric) and (change == _ALPHA) == is_dropped
        ]
        if variants:
            found |= dict.fromkeys((variant.spec.label for variant in variants), score(variants, is_dropped))
    rows = []
    for each in wrong:
        for change, variant in tried.get(each.metric, {}).items():
            value, reason = math.nan, variant if isinstance(variant, str) else ""
            if not reason:
                label = f"{each.metric}, {change}"
                value = found[label].mean(each.test_set, label, each.method)
                reason = found[label].columns[label].metric.error if math.isnan(value) else ""
            verdict = "fits" if each.agrees(value) else "not tried" if math.isnan(value) else "refuted"
            rows.append((*each[:3], change, value, each.units(value), verdict, reason))
    heads = ["test_set", "method", "metric", "change", "value", "units", "verdict", "reason"]
    return pandas.DataFrame(rows, columns=heads)


def summarize(explained: pandas.DataFrame, wrong: Sequence[Expected]) -> list[str]:
    """Return a line per metric: changes that fit, number of trials, and fits expected by chance."""
    lines = []
    for metric, rows in explained.groupby("metric", sort=False):
        tried = rows[rows["verdict"] != "not tried"]
        fit = (tried["verdict"] == "fits").groupby(tried["change"], sort=False).all()
        fits = list(fit.index[fit])
        skipped = rows["change"].nunique() - len(fit)
        chance = len(fit) * math.prod(_chance(each, tried) for each in wrong if each.metric == metric)
        text = f"{fits[0] if fits else 'no change that was tried'} fits"
        if len(fits) > 1:
            text = f"{' and '.join(fits)} fit, and these pictures cannot tell them apart"
        counts = f"{len(fit)} changes were tried, {skipped} could not be tried"
        lines.append(f"{metric}: {text}; {counts}; about {chance:.2g} are expected to fit by chance.")
    return lines


def _chance(cell: Expected, tried: pandas.DataFrame) -> float:
    # the probability that a random value in the range of the trials agrees
    values = [float(cell.text), *tried.loc[tried["method"] == cell.method, "value"]]
    span = max(values) - min(values)
    return min(1.0, 2 * cell.unit / span) if span else 1.0


def _changes(metric: TableMetric, has_alpha: bool) -> Iterator[tuple[str, TableMetric | str]]:
    spec, view = metric.spec, metric.view
    weights = {key: value for key, value in spec.options.items() if key in _WEIGHTS}
    for change, (name, options) in next((each for names, each in _VARIANTS if spec.name in names), {}).items():
        given = {**(weights if name == spec.name else {}), **options}
        if (name, given) != (spec.name, dict(spec.options)):
            (variant,) = parse_metrics({spec.label: {"metric": name, "metric_opts": given}}, every=True)
            yield change, TableMetric(variant, view)
    if spec.of_sets:
        return
    views: dict[str, View] = {}
    for crop in {0, 4} - {view.crop}:
        views[f"a border of {crop} px left out" if crop else "no border left out"] = replace(view, crop=crop)
    if spec.mode == "NR":
        views["squashed to 512×512 px"] = View(square=512)
        views |= {f"the middle {side}×{side} px": View(center=side) for side in (224, 512)}
    yield from ((change, replace(metric, view=each)) for change, each in views.items() if each != view)
    half = replace(metric, view=replace(view, autocast=True))
    yield "fp16 (autocast)", half if torch.cuda.is_available() else "there is no CUDA here"
    yield _ALPHA, metric if has_alpha else "no picture has transparency"
    yield "alpha kept", "pyiqa's metrics take three channels"
