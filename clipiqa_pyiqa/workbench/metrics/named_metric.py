"""A metric named as in pyiqa, by a file of learned prompts or of a head, or by options of pyiqa under a label."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...machine import import_pyiqa
from ...prompts.pairs import is_single
from ...text import hint_for
from ..files.specifications import Specification, check_kinds
from .configurations import pyiqa_configs
from .description import PyiqaDescription, Takes
from .told_record import told_record

OUR_NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "mini": ("clipiqa", {"backbone": "mini"}),
    "psnr-y": ("psnry", {"color_space": "ycbcr"}),
    "psnr-rgb": ("psnr", {}),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}),
    "ssim-rgb": ("ssimc", {}),
}
"""Our name -> pyiqa's, and options."""
OF_SETS = ("FID", "InceptionScore")
"""Classes of metrics that score sets of images, though their mode in pyiqa is NR."""
_KINDS = {"metric": str, "metric_opts": Mapping, "metric_mode": str, "lower_better": bool, "score_range": str}
_LEARNED = (".safetensors", ".pth")  # learned prompts, or a head


@dataclass(frozen=True)
class _Entry:
    """What the user says of a metric.

    Attributes:
        name: As the user writes it; empty if the label is the name, or if the options name an architecture.
        options: Changes to pyiqa's ``metric_opts``.
        config: ``metric_mode``, ``lower_better`` and ``score_range``, as far as the user says them.
    """

    name: str
    options: Mapping[str, Any]
    config: Mapping[str, Any]


def named_metric(specification: Specification) -> PyiqaDescription:
    """Return the metric that a name, a file of learned prompts or of a head, or labelled options stand for."""
    entry = _entry_of(specification)
    label = specification.label or _label_of_file(specification.target)
    spelled_name = _spelled_name(entry, label)
    name, options_of_name = OUR_NAMES.get(spelled_name, (spelled_name, {}))
    _check_name(name)
    changed_options = _changed_options(name, {**options_of_name, **entry.options})
    label = label or _label_with_options(spelled_name, entry.options)
    description = PyiqaDescription(label, name, options=changed_options)
    architecture = architecture_of(description)
    config = {**pyiqa_configs().get(name, {}), **entry.config}
    takes = takes_of_mode(config.get("metric_mode"), architecture in OF_SETS)
    return replace(description, takes=takes, record=told_record(label, name or architecture, config.get))


def _entry_of(specification: Specification) -> _Entry:
    target = specification.target
    if not target:  # a label with an entry in pyiqa's words
        fields = dict(specification.options)
    elif _is_learned(target):
        fields = {"metric": "clipiqa+", "metric_opts": {"pretrained_model_path": target, **specification.options}}
    else:
        fields = {"metric": target, "metric_opts": specification.options}
    check_kinds(fields, _KINDS, f"metric {specification.label or target!r}")
    config = {key: value for key, value in fields.items() if value is not None}
    name = config.pop("metric", "")
    options = config.pop("metric_opts", {})
    return _Entry(name, options, config)


def _is_learned(target: str) -> bool:
    return target.endswith(_LEARNED)


def _label_of_file(target: str) -> str:
    """Return the label of a file of learned prompts or of a head; empty for another target."""
    return Path(target).stem if _is_learned(target) else ""


def _spelled_name(entry: _Entry, label: str) -> str:
    """Return the name of the metric as pyiqa or we spell it; empty if its options give an architecture."""
    known = pyiqa_configs()
    name = entry.name or label
    if not entry.name and name not in known and entry.options.get("type"):
        return ""
    spellings = {spelling.lower(): spelling for spelling in (*known, *OUR_NAMES)}
    return spellings.get(name.lower(), name)


def _check_name(name: str) -> None:
    """Raise ``CLIPIQAError`` for a name of no metric; where pyiqa is missing, tell that instead."""
    known = pyiqa_configs()
    if not name or name in known or PyiqaDescription("", name).is_ours:
        return
    if not known:
        import_pyiqa()
    if "|" in name or is_single(name):
        raise CLIPIQAError(f"{name!r} is no metric but a question: pass it to `prompts`.", options=("prompts",))
    hint = hint_for(name, [*known, *OUR_NAMES], listing="`pyiqa.list_models()`")
    raise CLIPIQAError(f"unknown metric {name!r}: {hint}")


def _changed_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that differ from pyiqa's for this metric."""
    usual = pyiqa_configs().get(name, {}).get("metric_opts", {})
    return {key: value for key, value in options.items() if key not in usual or usual[key] != value}


def _label_with_options(name: str, options: Mapping[str, Any]) -> str:
    """Return a metric's name with its options, but for the files that they name."""
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(texts)}" if texts else name


def architecture_of(metric: PyiqaDescription) -> str:
    """Return the name of the metric's class in pyiqa; empty if it has none."""
    usual = pyiqa_configs().get(metric.name, {}).get("metric_opts", {})
    return str({**usual, **metric.options}.get("type", ""))


def takes_of_mode(mode: Any, is_of_sets: bool) -> Takes:
    """Return what a metric takes, from pyiqa's mode; it calls metrics of sets no-reference ones, too."""
    if is_of_sets:
        return Takes.FOLDERS
    return Takes.PAIR if mode == "FR" else Takes.IMAGE
