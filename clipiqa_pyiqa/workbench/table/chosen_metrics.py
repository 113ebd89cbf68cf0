"""Which metrics a table has: those of its protocol, and those that are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import CLIPIQAError
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric
from ..metrics.parsing import parse_metrics
from .protocols import NO_PROTOCOL, Protocol


def table_metrics(
    metrics: Any, protocol: Protocol = NO_PROTOCOL, crop_border: int | None = None, trust_weights: bool = False
) -> tuple[list[AnyMetric], list[str]]:
    """Return the metrics of a protocol and of ``metrics``, and the labels whose metric these replace."""
    if not metrics and not protocol.metrics:
        raise CLIPIQAError(
            "no metric is given: name at least one in `{metrics}`, or name a `{protocol}`.",
            options=("metrics", "protocol"),
        )
    every_kind = (Takes.PAIR, Takes.FOLDERS, Takes.NAME)
    asked = parse_metrics([metrics], also=every_kind, trust_weights=trust_weights) if metrics else []
    usual = parse_metrics(protocol.metrics, also=(Takes.PAIR, Takes.FOLDERS)) if protocol.metrics else []
    added = {metric.label.lower(): metric for metric in asked}
    off_protocol = [metric.label for metric in usual if metric.label.lower() in added]
    metrics = [added.pop(metric.label.lower(), metric).with_label(metric.label) for metric in usual]
    metrics += added.values()
    has_other_border = False
    for place, metric in enumerate(metrics):
        view = protocol.view_of(metric.label)
        if crop_border is not None and metric.takes is Takes.PAIR:
            has_other_border = has_other_border or view.crop != crop_border
            view = replace(view, crop=crop_border)
        metrics[place] = metric.with_view(view)
    if has_other_border:
        off_protocol.append("the border that is left out")
    return metrics, off_protocol
