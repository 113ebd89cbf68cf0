"""Which metrics a table has: those of its protocol, and those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import CLIPIQAError
from ...text import hint_for
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric
from ..metrics.parsing import parse_metrics
from ..metrics.view import View
from .protocols import NO_PROTOCOL, Protocol


@dataclass(frozen=True)
class ChosenMetrics:
    """The metrics of a table.

    Attributes:
        off_protocol: What differs from the protocol, in words.
        left_out: Labels of metrics that are not asked for.
    """

    metrics: list[AnyMetric]
    off_protocol: list[str]
    left_out: list[str]


def table_metrics(
    metrics: Any,
    protocol: Protocol = NO_PROTOCOL,
    crop_border: int | None = None,
    trust_weights: bool = False,
    *,
    only: Sequence[str] = (),
) -> ChosenMetrics:
    """Return the metrics of a protocol and of ``metrics``, which replace metrics of the same label."""
    if not metrics and not protocol.metrics:
        raise CLIPIQAError(
            "no metric is given: name at least one in `metrics`, or name a `protocol`.",
            options=("metrics", "protocol"),
        )
    every_kind = (Takes.PAIR, Takes.FOLDERS, Takes.NAME)
    asked = parse_metrics([metrics], also=every_kind, trust_weights=trust_weights) if metrics else []
    usual = parse_metrics(protocol.metrics, also=(Takes.PAIR, Takes.FOLDERS)) if protocol.metrics else []
    asked_labels = [metric.label.lower() for metric in asked]
    off_protocol = [metric.label for metric in usual if metric.label.lower() in asked_labels]
    every_metric = _merged(usual, asked)
    views = {metric.label: _view_of(metric, protocol, crop_border) for metric in every_metric}
    if any(view != protocol.view_of(label) for label, view in views.items()):
        off_protocol.append("crop border")
    left_out = _labels_left_out(every_metric, [*only, *asked_labels]) if only else []
    chosen = [metric.with_view(views[metric.label]) for metric in every_metric if metric.label not in left_out]
    return ChosenMetrics(chosen, off_protocol, left_out)


def _merged(usual: Sequence[AnyMetric], asked: Sequence[AnyMetric]) -> list[AnyMetric]:
    """Return the usual metrics, or those of the same label that are asked for, then the others that are asked for."""
    added = {metric.label.lower(): metric for metric in asked}
    merged = [added.pop(metric.label.lower(), metric).with_label(metric.label) for metric in usual]
    return [*merged, *added.values()]


def _labels_left_out(metrics: Sequence[AnyMetric], only: Sequence[str]) -> list[str]:
    """Return the labels of metrics that are not among those in ``only``, in any case."""
    labels = {metric.label.lower(): metric.label for metric in metrics}
    asked = {name.lower() for name in only}
    unknown = asked - labels.keys()
    if unknown:
        name = min(unknown)
        raise CLIPIQAError(f"`only` names {name!r}: {hint_for(name, labels)}", options=("only",))
    return [label for name, label in labels.items() if name not in asked]


def _view_of(metric: AnyMetric, protocol: Protocol, crop_border: int | None) -> View:
    """Return what a metric sees of an image: as the protocol says, but for another border."""
    view = protocol.view_of(metric.label)
    if crop_border is None or metric.takes is not Takes.PAIR:
        return view
    return replace(view, crop=crop_border)
