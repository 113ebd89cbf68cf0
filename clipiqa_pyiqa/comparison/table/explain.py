"""Trials of changed metrics that may explain why published numbers differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas
import torch

from .expected import add_units
from .table_metrics import TableMetric, parse_names
from .values import MethodScores
from .views import View, has_alpha

_VARIANTS = (  # change -> metric, as written after -m; a row has the variants of one metric
    {"RGB": "psnr-rgb", "Y of YCbCr (16 to 235)": "psnr-y", "Y of YIQ (0 to 255)": "psnry"},
    {"RGB": "ssim-rgb", "Y of YCbCr (16 to 235)": "ssim-y", "Y of YIQ (0 to 255)": "ssim"},
    {
        "five prompt pairs": "clipiqa:prompts=pyiqa",
        "one prompt pair": "clipiqa:prompts=quality",
        "clipiqa+": "clipiqa+",
        "clipiqa+_vitL14_512": "clipiqa+_vitL14_512",
    },
    {
        "LIVE's parameters": "niqe",
        "MATLAB's parameters": "niqe_matlab",
        "LIVE's parameters, Y of YCbCr (16 to 235)": "niqe:test_y_channel=true,color_space=ycbcr",
    },
    {"KonIQ": "maniqa", "PIPAL": "maniqa-pipal"},
    {"KonIQ": "musiq", "SPAQ": "musiq-spaq"},
    {"AlexNet": "lpips", "VGG": "lpips-vgg"},
)
_ALPHA = "alpha dropped"
_WEIGHTS = ("backbone", "clip_weights", "pretrained_model_path")  # options that a change keeps
_COLUMNS = ["test_set", "method", "metric", "change", "value", "units", "verdict", "reason"]


def explain(
    found: MethodScores, metrics: Sequence[TableMetric], score: Callable[[Sequence[TableMetric], bool], MethodScores]
) -> pandas.DataFrame:
    """Return a trial of every change to the metrics whose published numbers differ.

    Args:
        found: Scores with published numbers.
        score: Function that scores the pictures with given metrics; True drops alpha (transparency).

    Returns:
        Columns ``test_set``, ``method``, ``metric``, ``change``, ``value``, ``units`` (above the published number),
        ``verdict`` (``'fits'``, ``'refuted'``, ``'not tried'``), ``reason``.
    """
    assert found.expected is not None
    wrong = found.expected[~found.expected["agrees"]]
    is_transparent = any(map(has_alpha, found.pictures.inputs))
    trials = [wrong.iloc[:0].assign(change="", value=math.nan, reason="")]
    for metric in metrics:
        label = metric.spec.label
        cells = wrong[wrong["metric"] == label]
        for change, variant in _changes(metric, is_transparent) if len(cells) else ():
            if isinstance(variant, str):
                trials.append(cells.assign(change=change, value=math.nan, reason=variant))
                continue
            other = score([variant], change == _ALPHA)
            values = [other.mean(cell.test_set, label, cell.method) for cell in cells.itertuples()]
            trials.append(cells.assign(change=change, value=values, reason=other.columns[label].error))
    tried = add_units(pandas.concat(trials), "value")
    tried["verdict"] = tried["agrees"].map({True: "fits", False: "refuted"}).mask(tried["value"].isna(), "not tried")
    return tried[_COLUMNS]


def summarize(explained: pandas.DataFrame) -> list[str]:
    """Return a line per metric: changes that fit, number of trials, and fits expected by chance."""
    lines = []
    for metric, rows in explained.groupby("metric", sort=False):
        tried = rows[rows["verdict"] != "not tried"]
        fit = (tried["verdict"] == "fits").groupby(tried["change"], sort=False).all()
        fits = list(fit.index[fit])
        text = f"{' and '.join(fits) or 'no change that was tried'} fit{'s' * (len(fits) < 2)}"
        text += ", and these pictures cannot tell them apart" * (len(fits) > 1)
        counts = f"{len(fit)} changes were tried, {rows['change'].nunique() - len(fit)} could not be tried"
        # the probability that a random value in the range of the trials and the published number agrees
        units = tried.groupby(["test_set", "method"])["units"]
        ranges = units.max().clip(lower=0) - units.min().clip(upper=0)
        chance = len(fit) * (2 / ranges).clip(upper=1).prod()
        lines.append(f"{metric}: {text}; {counts}; about {chance:.2g} are expected to fit by chance.")
    return lines


def _changes(metric: TableMetric, is_transparent: bool) -> Iterator[tuple[str, TableMetric | str]]:
    spec, view = metric.spec, metric.view
    kept = {key: value for key, value in spec.options.items() if key in _WEIGHTS}
    for variants in map(parse_names, _VARIANTS):
        for variant in variants if any(spec.name == each.name for each in variants) else ():
            options = {**(kept if variant.name == spec.name else {}), **variant.options}
            if (variant.name, options) != (spec.name, dict(spec.options)):
                yield variant.label, TableMetric(replace(variant, label=spec.label, options=options), view)
    if spec.of_sets:
        return
    views = [replace(view, crop=crop) for crop in (0, 4)]
    if spec.mode == "NR":
        views += [View(square=512), View(center=224), View(center=512)]
    yield from ((each.words, replace(metric, view=each)) for each in views if each != view)
    half = replace(metric, view=replace(view, autocast=True))
    yield "fp16 (autocast)", half if torch.cuda.is_available() else "there is no CUDA here"
    yield _ALPHA, metric if is_transparent else "no picture has transparency"
    yield "alpha kept", "pyiqa's metrics take three channels"
