"""Why published numbers may differ: each change that is cheap to try, tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..metrics import parse_metrics
from .asked import Asked
from .values import Expected, Explained, MethodScores, Verdict
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
_SAME_WORK: list[tuple[tuple[str, ...], dict[str, tuple[str, dict[str, Any]]]]] = [
    # pyiqa's names of one metric's variants, and change -> the variant that it makes
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
_KEPT = ("backbone", "clip_weights", "pretrained_model_path")  # options that say which weights, kept by a change


def explain(
    wrong: Sequence[Expected],
    asked: Sequence[Asked],
    score: Callable[[list[Asked], bool], MethodScores],
    alpha: bool,
) -> list[Explained]:
    """Try every cheap change on the metrics whose published numbers differ.

    Args:
        wrong: Published numbers that differ from what was computed.
        asked: The metrics of the table.
        score: Scores the same pictures with other metrics, or with their alpha dropped.
        alpha: Whether pictures have transparency.

    Returns:
        A row per number and change.
    """
    metrics = {each.spec.label: each for each in asked}
    tried = {
        label: dict(_changes(metrics[label], alpha))
        for label in dict.fromkeys(e.metric for e in wrong)
        if label in metrics
    }
    found: dict[str, MethodScores] = {}
    for dropped in (False, True):
        variants = [
            replace(variant, spec=replace(variant.spec, label=f"{label}, {change}"))
            for label, changes in tried.items()
            for change, variant in changes.items()
            if isinstance(variant, Asked) and (change == _ALPHA) == dropped
        ]
        if variants:
            found |= dict.fromkeys((each.spec.label for each in variants), score(variants, dropped))
    rows = []
    for each in wrong:
        for change, variant in tried.get(each.metric, {}).items():
            value, reason = math.nan, variant if isinstance(variant, str) else ""
            label = f"{each.metric}, {change}"
            if label in found:
                value = found[label].values[each.test_set, label][each.method].mean
                reason = found[label].columns[label].metric.error if math.isnan(value) else ""
            verdict: Verdict = "fits" if each.agrees(value) else "not tried" if math.isnan(value) else "refuted"
            cell = (each.test_set, each.method, each.metric)
            rows.append(Explained(*cell, change, value, each.units(value), verdict, reason))
    return rows


def said_of(rows: Sequence[Explained], wrong: Sequence[Expected]) -> list[str]:
    """Return what fits, what cannot be told apart, how much was tried and what chance would give, a line per metric."""
    lines = []
    for metric in dict.fromkeys(row.metric for row in rows):
        cells = [each for each in wrong if each.metric == metric]
        tried: dict[str, list[Explained]] = {}
        for row in rows:
            if row.metric == metric and row.verdict != "not tried":
                tried.setdefault(row.change, []).append(row)
        fits = [change for change, each in tried.items() if all(row.verdict == "fits" for row in each)]
        skipped = len({row.change for row in rows if row.metric == metric}) - len(tried)
        line = f"{metric}: {' and '.join(fits) if fits else 'nothing that was tried'} fits"
        line = f"{metric}: {', '.join(fits)} cannot be told apart here: each fits" if len(fits) > 1 else line
        chance = sum(math.prod(_chance(each, tried) for each in cells) for _ in tried)
        lines.append(f"{line}; {len(tried)} changes tried, {skipped} not; by chance {chance:.2g} would fit.")
    return lines


def _chance(cell: Expected, tried: Mapping[str, Sequence[Explained]]) -> float:
    """How likely a value anywhere between those that were tried, and the published one, agrees with that."""
    values = [row.value for rows in tried.values() for row in rows if row.method == cell.method]
    span = max([*values, float(cell.text)]) - min([*values, float(cell.text)])
    return min(1.0, 2 * cell.unit / span) if span else 1.0


def _changes(asked: Asked, alpha: bool) -> Iterator[tuple[str, Asked | str]]:
    """Changes of a metric, each with the metric that it makes or why it is not tried."""
    spec, view = asked.spec, asked.view
    kept = {key: value for key, value in spec.options.items() if key in _KEPT}
    variants = next((changes for names, changes in _SAME_WORK if spec.name in names), {})
    for change, (name, options) in variants.items():
        given = {**(kept if name == spec.name else {}), **options}
        (other,) = parse_metrics({spec.label: {"metric": name, "metric_opts": given}}, every=True)
        if (name, given) != (spec.name, dict(spec.options)):
            yield change, Asked(other, view)
    if spec.of_sets:
        return
    for crop in {0, 4} - {view.crop}:
        yield (
            f"a border of {crop} px left out" if crop else "no border left out",
            replace(asked, view=replace(view, crop=crop)),
        )
    if spec.mode == "NR":
        views = {"squashed to 512×512 px": View(square=512)}
        views |= {f"the middle {side}×{side} px": View(center=side) for side in (224, 512)}
        yield from ((name, replace(asked, view=each)) for name, each in views.items() if each != view)
    cuda = torch.cuda.is_available()
    yield "fp16 (autocast)", replace(asked, view=replace(view, autocast=True)) if cuda else "there is no CUDA here"
    yield _ALPHA, asked if alpha else "no picture has transparency"
    yield "alpha kept", "pyiqa's metrics take three channels"
