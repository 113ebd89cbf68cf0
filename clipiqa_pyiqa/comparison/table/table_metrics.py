"""Metrics of a table, with the colour channel of psnr and ssim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...datasets.specification import parse_specifications, pyiqa_configs
from ...errors import CLIPIQAError
from ...scoring.metric_specs import MetricSpec, parse_metrics
from ...scoring.metrics import BuiltMetric
from .protocols import NO_PROTOCOL, WHOLE, Preprocess, Protocol

_OURS: dict[str, tuple[str, dict[str, Any]]] = {  # our name -> pyiqa's, and its options
    "psnr-y": ("psnry", {"color_space": "ycbcr"}),
    "psnr-rgb": ("psnr", {}),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}),
    "ssim-rgb": ("ssimc", {}),
}
_Y = {  # of pyiqa's colour spaces
    "ycbcr": "on Y of YCbCr as MATLAB's rgb2ycbcr has it (16 to 235)",
    "yiq": "on Y of YIQ (0 to 255; super-resolution papers use psnr-y and ssim-y)",
}


@dataclass(frozen=True)
class TableMetric:
    """A metric and how its images are preprocessed; ``built`` is the metric itself, if it is built."""

    spec: MetricSpec
    preprocess: Preprocess = WHOLE
    built: BuiltMetric | str = ""

    @property
    def needs_reference(self) -> bool:
        return self.spec.mode == "FR" or (self.spec.of_sets and self.spec.name != "inception_score")


def channel(options: Mapping[str, str]) -> str:
    """Return the channel of psnr or ssim in words; ``options`` has pyiqa's name as ``metric``."""
    name, is_y = options.get("metric"), options.get("test_y_channel")
    if (name == "psnr" and is_y == "True") or (name in ("psnry", "ssim") and is_y != "False"):
        return _Y.get(options.get("color_space", "yiq"), "")
    return "on RGB" if name in ("psnr", "ssimc") else ""


def parse_table_metrics(
    given: Any, protocol: Protocol = NO_PROTOCOL, crop_border: int | None = None
) -> tuple[list[TableMetric], list[str]]:
    """Return the metrics of a protocol and of ``given``, and the labels whose metric ``given`` replaces."""
    if not given and not protocol.metrics:
        raise CLIPIQAError("no metric is given: name at least one in `metrics`, or name a `protocol`.")
    added = {spec.label.lower(): spec for spec in (parse_names(given) if given else [])}
    found, changed = [], []
    for spec in parse_names(protocol.metrics) if protocol.metrics else ():
        if replacement := added.pop(spec.label.lower(), None):
            changed.append(spec.label)
            spec = replace(replacement, label=spec.label)
        found.append(spec)
    metrics = [TableMetric(each, protocol.preprocess_of(each.label)) for each in (*found, *added.values())]
    if crop_border is not None:
        cropped = [
            replace(m, preprocess=replace(m.preprocess, crop=crop_border)) if m.spec.mode == "FR" else m
            for m in metrics
        ]
        if cropped != metrics:
            changed.append("the border that is left out")
        metrics = cropped
    return metrics, changed


def parse_names(given: Any) -> list[MetricSpec]:
    known = {name.lower(): name for name in (*_OURS, *pyiqa_configs())}
    found = parse_specifications(given, "metric")
    names = [known.get(each.target.lower(), each.target) if isinstance(each.target, str) else "" for each in found]
    counts = Counter(name for name, each in zip(names, found, strict=True) if not each.label)
    renamed = []
    for name, each in zip(names, found, strict=True):
        if name:
            label = each.label or (name if counts[name] == 1 or name in _OURS else "")
            pyiqas, options = _OURS.get(name, (name, {}))
            each = replace(each, label=label, target=pyiqas, options={**options, **each.options})
        renamed.append(each)
    return parse_metrics(renamed, every=True)
