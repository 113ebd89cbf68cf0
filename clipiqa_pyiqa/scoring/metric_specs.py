"""Metrics before they are built: pyiqa's names, configurations, or metric objects."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from ..datasets.specification import Specification, check_kinds, parse_specifications, pyiqa_configs
from ..errors import CLIPIQAError, import_pyiqa, keeps_pyiqas_classes, nearest, shown
from ..family import MEMBERS
from ..files.yaml import check_keys
from ..metric import CLIPIQA
from ..prompts.files import PUBLISHED
from ..prompts.heads import is_head, read_head, read_metadata
from ..weights.checkpoint import check_options

_ENTRY: dict[str, tuple[type, ...]] = {
    "metric": (str,),
    "metric_opts": (Mapping,),
    "metric_mode": (str,),
    "lower_better": (bool,),
    "score_range": (str,),
}
_OURS = ("clipiqa", *PUBLISHED, *MEMBERS)  # names of metrics that this package builds
_OF_SETS = ("FID", "InceptionScore")  # their mode in pyiqa is NR, but they rate a set of images


@dataclass(frozen=True)
class MetricSpec:
    """A metric before it is built.

    Attributes:
        name: pyiqa's name of the metric; empty if ``options['type']`` names the class.
        options: Changes to pyiqa's ``metric_opts``.
        made: The caller's metric object, or None.
        mode: ``'NR'``, or ``'FR'`` for a metric that needs a reference.
        of_sets: Whether the metric rates a set of images.
        kind: Name of its class.
    """

    label: str
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    lower_better: bool = False
    score_range: str = ""
    made: Callable[..., Any] | None = None
    mode: str = "NR"
    of_sets: bool = False
    kind: str = ""

    @property
    def provenance(self) -> dict[str, str]:
        return {"metric": self.name or self.kind, **{key: str(value) for key, value in self.options.items()}}

    @property
    def is_ours(self) -> bool:
        """Whether this package's own class is built, without pyiqa, whose import takes seconds."""
        is_known = self.made is None and self.name in _OURS and "type" not in self.options
        return is_known and not keeps_pyiqas_classes()


def parse_metrics(given: Any, every: bool = False) -> list[MetricSpec]:
    """Return the metrics that the caller names.

    Args:
        given: A text such as ``'niqe'`` or ``'mine=niqe:pretrained_model_path=FILE'``; a mapping of label -> None,
            pyiqa's options or a metric object; or a list of these.
        every: Accept metrics that need a reference or rate sets of images.

    Raises:
        CLIPIQAError: A name or key is unknown, a label is used twice, or the kind of a metric is not accepted.
    """
    specs = [_find(specification) for specification in parse_specifications(given, "metric")]
    labels = [spec.label for spec in specs]
    for spec in specs:
        if spec.label in ("path", "mos"):
            raise CLIPIQAError(f"a metric cannot be called {spec.label!r}, a column of the results: give it a label.")
        if labels.count(spec.label) > 1:
            raise CLIPIQAError(f"two metrics are called {spec.label!r}: give one a label, as in 'mine={spec.label}'.")
        if not every and (why := _why_not_of_images(spec)):
            raise CLIPIQAError(f"metric {spec.label!r} does not score single images, since it {why}.")
    return specs


def check_weights(specs: Iterable[MetricSpec], trust_weights: bool = False) -> None:
    """Raise if options name files or URLs that can run code when pyiqa loads them."""
    for spec in specs:
        if spec.options and not spec.is_ours:
            check_options(spec.options, trust_weights)


def _why_not_of_images(spec: MetricSpec) -> str:
    if spec.kind == "CLIPScore":
        return "needs a caption for each image"
    if spec.of_sets:
        return "rates a set of images: use `clipiqa table`"
    return "" if spec.mode == "NR" else "needs a reference image: use `clipiqa table`"


def _find(specification: Specification) -> MetricSpec:
    target, entry, known = specification.target, dict(specification.options), pyiqa_configs()
    if not isinstance(target, str):
        return _of_object(specification)
    where = f"metric {specification.label or target!r}"
    if target:
        entry = {"metric": target, "metric_opts": entry}
    check_keys(entry, _ENTRY, where)
    check_kinds(entry, _ENTRY, where)
    options = entry.get("metric_opts") or {}
    name = entry.get("metric") or specification.label
    if "metric" not in entry and name not in known and options.get("type"):
        name = ""
    name = {each.lower(): each for each in known}.get(name.lower(), name)
    if name and name not in known and name not in _OURS:
        import_pyiqa()
        raise CLIPIQAError(f"unknown metric {name!r}: {nearest(name, known)}")
    defaults = known.get(name, {})
    config = {**defaults, **{key: value for key, value in entry.items() if value is not None}}
    usual = defaults.get("metric_opts", {})
    changed = {key: value for key, value in options.items() if key not in usual or usual[key] != value}
    kind, label = str({**usual, **options}.get("type", "")), specification.label or _label(name, options)
    lower_better, score_range = config.get("lower_better"), config.get("score_range") or ""
    if kind == "CLIPIQA":
        check_keys(options, ("type", *signature(CLIPIQA).parameters), f"the options of {label!r}")
        path = changed.get("pretrained_model_path")
        if path is not None and is_head(read_metadata(path)):
            head = read_head(path)
            lower_better, score_range = head.lower_better, head.score_range
    return MetricSpec(
        label,
        name,
        changed,
        bool(lower_better),
        _range_text(score_range),
        mode=config.get("metric_mode", "NR"),
        of_sets=kind in _OF_SETS,
        kind=kind,
    )


def _of_object(specification: Specification) -> MetricSpec:
    made = specification.target
    if not callable(made):
        raise CLIPIQAError(f"a metric must be a name, options, or a function of images; got {shown(made)}.")
    name = specification.label or getattr(made, "metric_name", type(made).__name__)
    net = getattr(made, "net", made)
    kind = type(net).__name__
    described = net if hasattr(net, "encoding") else made  # pyiqa's wrapper does not know a fitted head
    return MetricSpec(
        name,
        name,
        lower_better=bool(getattr(described, "lower_better", False)),
        score_range=_range_text(getattr(described, "score_range", None) or ""),
        made=made,
        mode=getattr(made, "metric_mode", "NR"),
        of_sets=bool(getattr(made, "of_sets", False)) or kind in _OF_SETS,
        kind=kind,
    )


def _range_text(ends: Any) -> str:
    return ends if isinstance(ends, str) else "{:g}, {:g}".format(*ends)


def _label(name: str, options: Mapping[str, Any]) -> str:
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(texts)}" if texts else name
