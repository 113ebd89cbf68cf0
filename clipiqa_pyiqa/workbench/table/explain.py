"""Changes to metrics that may explain why published numbers differ."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from shlex import quote
from typing import TypeGuard

import torch
from pandas import DataFrame, concat

from ..files.specifications import Settings
from ..metrics.description import PyiqaDescription, Takes
from ..metrics.kinds import AnyMetric, BrokenMetric, ImageMetric
from ..metrics.parsing import parse_metrics
from ..metrics.view import View
from .method_scores import MethodScorer
from .method_table import MethodTable
from .prepared_images import without_alpha
from .published_numbers import add_units

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
_WEIGHTS = ("backbone", "clip_weights", "pretrained_model_path")  # options that a change keeps


@dataclass(frozen=True)
class _Change:
    """A change to a metric.

    Attributes:
        words: What is changed.
        option: What makes the change.
        metric: The changed metric.
    """

    words: str
    option: str
    metric: AnyMetric


def explain(method_table: MethodTable, scorer: MethodScorer) -> DataFrame:
    """Return a trial of every change to the metrics whose published numbers differ.

    Returns:
        Columns ``test_set``, ``method``, ``metric``, ``change``, ``option`` that makes the change, ``value``, ``units``
        (above the published number), ``verdict`` (``'fits'``, ``'refuted'``, ``'not tried'``), ``reason``.
    """
    assert method_table.expected is not None
    wrong = method_table.expected[method_table.expected["agrees"].eq(False)]
    is_transparent = any(without_alpha(path) is not None for path in method_table.matched.inputs)
    trials = [wrong.iloc[:0].assign(change="", option="", value=math.nan, reason="")]
    for metric in method_table.built:
        label = metric.label
        cells = wrong[wrong["metric"] == label]
        if cells.empty or not isinstance(metric, ImageMetric) or metric.takes is Takes.FOLDERS:
            continue
        trials += _trials(scorer, cells, label, _changes(metric), is_alpha_dropped=False)
        no_alpha = metric if is_transparent else _broken(metric, "no image has transparency")
        without_alpha_change = _Change("alpha dropped", "save the images without transparency", no_alpha)
        trials += _trials(scorer, cells, label, [without_alpha_change], is_alpha_dropped=True)
    every = add_units(concat(trials), "value")
    every["verdict"] = every["agrees"].map({True: "fits", False: "refuted"}).mask(every["value"].isna(), "not tried")
    return every[["test_set", "method", "metric", "change", "option", "value", "units", "verdict", "reason"]]


def _trials(
    scorer: MethodScorer,
    cells: DataFrame,
    label: str,
    changes: Iterable[_Change],
    is_alpha_dropped: bool,
) -> list[DataFrame]:
    """Return a trial of each change to a metric: its published numbers, with the means of the changed metric."""
    changes_by_label = {f"{label} ({change.words})": change for change in changes}
    metrics = [change.metric.with_label(name) for name, change in changes_by_label.items()]
    other = scorer.trial(metrics, is_alpha_dropped=is_alpha_dropped)  # together, so that each image is read once
    trials = []
    for name, change in changes_by_label.items():
        means = [other.mean(cell.test_set, name, cell.method) for cell in cells.itertuples()]
        reason = other.metrics[name].error
        trials.append(cells.assign(change=change.words, option=change.option, value=means, reason=reason))
    return trials


def _broken(metric: ImageMetric, reason: str) -> AnyMetric:
    return BrokenMetric(metric.description, metric.columns, reason)


def _changes(metric: ImageMetric) -> Iterator[_Change]:
    """Yield the changes to a metric."""
    yield from _other_variants(metric)
    yield from _other_views(metric)


def _other_variants(metric: ImageMetric) -> Iterator[_Change]:
    """Yield the metric's variants, such as SSIM on RGB, with the weights that it has."""
    description = metric.description
    if not isinstance(description, PyiqaDescription):
        return
    weights = {key: value for key, value in description.options.items() if key in _WEIGHTS}
    for texts in _VARIANTS:
        variants = [variant for variant in parse_metrics(texts, also=(Takes.PAIR,)) if _is_named(variant)]
        if description.name not in [variant.name for variant in variants]:
            continue
        for variant in variants:
            same_weights = weights if variant.name == description.name else {}
            options = {**same_weights, **variant.options}
            if (variant.name, options) != (description.name, dict(description.options)):
                written = _as_written(f"{metric.label}={texts[variant.label]}", same_weights)
                changed = replace(variant, options=options, view=description.view)
                yield _Change(variant.label, f"-m {quote(written)}", changed)


def _as_written(text: str, options: Settings) -> str:
    """Return a metric as written after ``-m``, with further options."""
    for key, value in options.items():
        separator = "," if ":" in text else ":"
        text += f"{separator}{key}={value}"
    return text


def _is_named(metric: AnyMetric) -> TypeGuard[PyiqaDescription]:
    return isinstance(metric, PyiqaDescription)


def _other_views(metric: ImageMetric) -> Iterator[_Change]:
    """Yield the metric with other borders, sizes and precisions."""
    usual = metric.description.view
    views = [replace(usual, crop=crop) for crop in (0, 4)]
    if metric.takes is Takes.IMAGE:
        views += [View(square=512), View(center=224), View(center=512)]
    views.append(replace(usual, autocast=True))
    for view in views:
        changes = {key: value for key, value in vars(view).items() if value != getattr(usual, key)}
        if not changes:
            continue
        option = f"--protocol FILE with views: {json.dumps({metric.label: changes})}"
        if metric.takes is Takes.PAIR and changes.keys() == {"crop"}:
            option = f"--crop-border {view.crop}"
        words = "fp16 (autocast)" if "autocast" in changes else view.words
        changed: AnyMetric = metric.with_view(view)
        if view.autocast and not torch.cuda.is_available():
            changed = _broken(metric, "there is no CUDA here")
        yield _Change(words, option, changed)
