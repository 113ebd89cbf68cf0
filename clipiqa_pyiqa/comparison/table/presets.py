"""Metrics as papers and challenges name and combine them: psnr and ssim by their channel, and presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...datasets.specification import CompareError, parse_specifications
from ...errors import nearest
from ..metrics import MetricSpec, parse_metrics

_Y = "on Y of YCbCr as MATLAB's rgb2ycbcr has it (16 to 235), as super-resolution papers compute it"
NAMED: dict[str, tuple[str, dict[str, Any], str]] = {  # our name -> pyiqa's, its options, and what it is computed on
    "psnr-y": ("psnry", {"color_space": "ycbcr"}, _Y),
    "psnr-rgb": ("psnr", {}, "on RGB"),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}, _Y),
    "ssim-rgb": ("ssimc", {}, "on RGB, the mean of the channels"),
}
_PYIQAS = {  # pyiqa's own names, which do not say it
    "psnr": "on RGB",
    "psnry": "on Y of YIQ (0 to 255), unlike super-resolution papers, whose is psnr-y",
    "ssim": "on Y of YIQ (0 to 255), unlike super-resolution papers, whose is ssim-y",
    "ssimc": "on RGB, the mean of the channels",
}


@dataclass(frozen=True)
class Preset:
    """Metrics that somebody else computes, pinned.

    Attributes:
        metrics: As typed.
        source: Who computes them so, and where it is said.
        score: Name of a score that combines their means, or empty.
        formula: That score in words.
        combine: The means by label -> that score, higher is better.
    """

    metrics: tuple[str, ...]
    source: str
    score: str = ""
    formula: str = ""
    combine: Callable[[Mapping[str, float]], float] = lambda means: float("nan")


PRESETS = {
    "ntire": Preset(
        ("lpips", "dists", "clipiqa=clipiqa:prompts=pyiqa", "maniqa", "musiq", "niqe"),
        "NTIRE 2025 challenge on image super-resolution (x4), perceptual track: the README and metrics.py of "
        "github.com/zhengchen1999/NTIRE2025_ImageSR_x4, with pyiqa's metrics, so clipiqa has five prompt pairs",
        "ntire score",
        "(1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA + MUSIQ/100 + max(0, (10 - NIQE)/10), of the averaged metrics",
        lambda m: (
            (1 - m["lpips"]) + (1 - m["dists"]) + m["clipiqa"] + m["maniqa"] + m["musiq"] / 100
            + max(0.0, (10 - m["niqe"]) / 10)
        ),
    ),
    "paper": Preset(
        ("brisque", "niqe", "clipiqa", "cnniqa", "hyperiqa", "musiq", "clipiqa+"),
        "the metrics of the CLIP-IQA paper's Table 1 (Wang, Chan, Loy, AAAI 2023) that pyiqa has: clipiqa with the "
        "paper's one prompt pair, the learned ones as pyiqa publishes them, trained on KonIQ-10k",
    ),
}  # fmt: skip


def find_preset(name: str | None) -> Preset | None:
    """The preset of that name, or none for None.

    Raises:
        CompareError: It is unknown.
    """
    if name is not None and name not in PRESETS:
        raise CompareError(f"unknown preset {name!r}: {nearest(name, PRESETS)}")
    return None if name is None else PRESETS[name]


def parse_table_metrics(given: Any, preset: Preset | None = None) -> list[MetricSpec]:
    """The metrics of a table: the preset's, in which a metric of the same label takes the place of its, then others.

    Args:
        given: As for :func:`~clipiqa_pyiqa.comparison.metrics.parse_metrics`, of any kind, and the names of ``NAMED``.
        preset: What else is asked for.

    Raises:
        CompareError: As for ``parse_metrics``; or nothing is asked for.
    """
    if not given and preset is None:
        raise CompareError("no metric is asked for: name some with -m (metrics), or a --preset.")
    asked = _parsed(given) if given else []
    own = {spec.label: spec for spec in asked}
    pinned = _parsed(list(preset.metrics)) if preset else []
    return [
        *(own.get(spec.label, spec) for spec in pinned),
        *(spec for spec in asked if spec.label not in {known.label for known in pinned}),
    ]


def computed_on(spec: MetricSpec) -> str:
    """Which channel psnr or ssim is computed on; empty for other metrics."""
    for name, options, words in NAMED.values():
        if options and spec.name == name and spec.options.get("color_space") == options["color_space"]:
            return words
    return _PYIQAS.get(spec.name, "") if not spec.options else ""


def needs_reference(spec: MetricSpec) -> bool:
    """Whether it compares with references: image by image, or set with set."""
    return spec.mode == "FR" or (spec.of_sets and spec.name != "inception_score")


def _parsed(given: Any) -> list[MetricSpec]:
    named = []
    for asked in parse_specifications(given, "metric"):
        if isinstance(asked.target, str) and asked.target in NAMED:
            name, options, _ = NAMED[asked.target]
            asked = replace(asked, label=asked.label or asked.target, target=name, options={**options, **asked.options})
        named.append(asked)
    return parse_metrics(named, every=True)
