"""Metrics of a table, with the colour channel of psnr and ssim."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from ...datasets.specification import CompareError, parse_specifications
from ..metrics import MetricSpec, parse_metrics
from .protocols import Protocol
from .views import WHOLE, View

_Y = "on Y of YCbCr as MATLAB's rgb2ycbcr has it (16 to 235), as super-resolution papers compute it"
_OURS: dict[str, tuple[str, dict[str, Any]]] = {  # our name -> pyiqa's, and its options
    "psnr-y": ("psnry", {"color_space": "ycbcr"}),
    "psnr-rgb": ("psnr", {}),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}),
    "ssim-rgb": ("ssimc", {}),
}
_CHANNELS = {  # of pyiqa's names
    "psnr": "on RGB",
    "psnry": "on Y of YIQ (0 to 255), unlike super-resolution papers, which use psnr-y",
    "ssim": "on Y of YIQ (0 to 255), unlike super-resolution papers, which use ssim-y",
    "ssimc": "on RGB, the mean of the channels",
}


@dataclass(frozen=True)
class TableMetric:
    spec: MetricSpec
    view: View = WHOLE

    @property
    def computed_on(self) -> str:
        name, options = self.spec.name, dict(self.spec.options)
        if name == "psnr" and options.pop("test_y_channel", False):
            name = "psnry"
        if name in ("psnry", "ssim") and options.get("color_space") == "ycbcr":
            return _Y
        return "" if options else _CHANNELS.get(name, "")

    @property
    def needs_reference(self) -> bool:
        return self.spec.mode == "FR" or (self.spec.of_sets and self.spec.name != "inception_score")


def parse_table_metrics(
    given: Any, protocol: Protocol | None = None, crop_border: int | None = None
) -> tuple[list[TableMetric], list[str]]:
    """Return the metrics of a protocol and of ``given``, and the labels whose metric ``given`` replaces."""
    if not given and protocol is None:
        raise CompareError("no metric is given: name at least one in metrics (-m), or name a protocol.")
    added = {spec.label.lower(): spec for spec in (_parse(given) if given else [])}
    found, changed = [], []
    for spec in _parse(dict(protocol.metrics)) if protocol else ():
        replacement = added.pop(spec.label.lower(), None)
        if replacement is not None:
            changed.append(spec.label)
            spec = replace(replacement, label=spec.label)
        found.append(TableMetric(spec, protocol.view_of(spec.label) if protocol else WHOLE))
    found += [TableMetric(spec, protocol.view_of("") if protocol else WHOLE) for spec in added.values()]
    if crop_border is not None:
        cropped = [replace(m, view=replace(m.view, crop=crop_border)) if m.spec.mode == "FR" else m for m in found]
        changed += ["the border that is left out"] * (protocol is not None and cropped != found)
        found = cropped
    return found, changed


def _parse(given: Any) -> list[MetricSpec]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    known = {name.lower(): name for name in (*_OURS, *DEFAULT_CONFIGS)}
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
