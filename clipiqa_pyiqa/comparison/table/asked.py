"""The metrics of a table, as asked for and as a protocol has them: psnr and ssim by their channel, short labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from ...datasets.specification import CompareError, parse_specifications
from ..metrics import MetricSpec, parse_metrics
from .protocols import Protocol
from .views import WHOLE, View

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
class Asked:
    """A metric of a table, and what it sees."""

    spec: MetricSpec
    view: View = WHOLE

    @property
    def computed_on(self) -> str:
        """The channel that psnr or ssim is computed on; empty for other metrics."""
        name, options = self.spec.name, dict(self.spec.options)
        if name == "psnr" and options.pop("test_y_channel", False):
            name = "psnry"
        if name in ("psnry", "ssim") and options.get("color_space") == "ycbcr":
            return _Y
        return _PYIQAS.get(name, "") if not options else ""

    @property
    def needs_reference(self) -> bool:
        """Whether the metric compares with references: image by image, or set with set."""
        return self.spec.mode == "FR" or (self.spec.of_sets and self.spec.name != "inception_score")


def parse_table_metrics(
    given: Any, protocol: Protocol | None = None, crop_border: int | None = None
) -> tuple[list[Asked], list[str]]:
    """Look up a protocol's metrics, of which one of the same label as one given is replaced, then the others given.

    Args:
        given: As for :func:`~clipiqa_pyiqa.comparison.metrics.parse_metrics`, of any kind, and the names of ``NAMED``.
            Names are matched without regard to case.
        protocol: The protocol.
        crop_border: Pixels cut off each side before full-reference metrics; None for the protocol's, or 0.

    Returns:
        The metrics, and what is no longer the protocol's.

    Raises:
        CompareError: As for ``parse_metrics``; or nothing is asked for.
    """
    if not given and protocol is None:
        raise CompareError("no metric is asked for: name some with -m (metrics), or a --protocol.")
    own = {spec.label.lower(): spec for spec in (_parsed(given) if given else [])}
    found, changed = [], []
    for spec in _parsed(dict(protocol.metrics)) if protocol else ():
        replaced = own.pop(spec.label.lower(), None)
        if replaced is not None:
            changed.append(spec.label)
            spec = replace(replaced, label=spec.label)
        found.append(Asked(spec, protocol.view_of(spec.label) if protocol else WHOLE))
    found += [Asked(spec, View(**protocol.view) if protocol else WHOLE) for spec in own.values()]
    if crop_border is not None:
        cropped = [replace(a, view=replace(a.view, crop=crop_border)) if a.spec.mode == "FR" else a for a in found]
        changed += ["the border that is left out"] * (protocol is not None and cropped != found)
        found = cropped
    return found, changed


def _parsed(given: Any) -> list[MetricSpec]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    known = {name.lower(): name for name in (*NAMED, *DEFAULT_CONFIGS)}
    asked = []
    for each in parse_specifications(given, "metric"):
        if isinstance(each.target, str) and each.target:
            each = replace(each, target=known.get(each.target.lower(), each.target))
        asked.append(each)
    short = Counter(each.target for each in asked if isinstance(each.target, str) and not each.label)
    named = []
    for each in asked:
        if isinstance(each.target, str) and each.target:
            label = each.label or (each.target if short[each.target] == 1 or each.target in NAMED else "")
            name, options, _ = NAMED.get(each.target, (each.target, {}, ""))
            each = replace(each, label=label, target=name, options={**options, **each.options})
        named.append(each)
    return parse_metrics(named, every=True)
