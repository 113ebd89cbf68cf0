"""Metrics as users name them: names, configurations, files and objects."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...logger import log
from ...prompts.pairs import Prompts, Question
from ...prompts.single import is_single
from ...pyiqa_package import import_pyiqa
from ...text import hint_for, shown
from ..files.named import Specification, check_kinds, parse_specifications
from .configurations import pyiqa_configs
from .description import Description, ObjectDescription, PyiqaDescription, Takes
from .file_scores import read_file_metric
from .kinds import AnyMetric, FileMetric, ImageMetric
from .told_record import told_record

AnyPrompts = Prompts | Mapping[str, Sequence[Question]]
NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "mini": ("clipiqa", {"backbone": "mini"}),
    "psnr-y": ("psnry", {"color_space": "ycbcr"}),
    "psnr-rgb": ("psnr", {}),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}),
    "ssim-rgb": ("ssimc", {}),
}
"""Our name -> pyiqa's, and options."""
_ENTRY = {"metric": str, "metric_opts": Mapping, "metric_mode": str, "lower_better": bool, "score_range": str}
_LEARNED = (".safetensors", ".pth")  # learned prompts, or a head
_OF_SETS = ("FID", "InceptionScore")  # their mode in pyiqa is NR
_OTHERWISE = {
    Takes.FOLDERS: "rates a set of images: use `clipiqa table`",
    Takes.PAIR: "needs a reference image: use `clipiqa table`",
    Takes.NAME: "has its scores in a file: use `clipiqa score`, `compare` or `table`",
}


def parse_metrics(
    metrics: Any, prompts: AnyPrompts = None, *, also: Collection[Takes] = (), trust_weights: bool = False
) -> list[AnyMetric]:
    """Return the metrics that the caller names; nothing is built.

    Args:
        metrics: A text such as ``'niqe'``, ``'mine=niqe:pretrained_model_path=FILE'``, a file of learned prompts or a
            head, or a file of scores; a mapping of label -> None, pyiqa's options or a metric object; or a list of
            these. A CLIP-IQA that stands alone, or a function that makes one, has a column for each question.
        prompts: Questions for the first metric, a CLIP-IQA, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`.
        also: What metrics may take in place of an image.
    """
    if _stands_alone(metrics):
        return [ObjectDescription("", questions=prompts, instance=metrics)]
    specifications = parse_specifications(metrics, "metric")
    parsed = [_metric_of(specification) for specification in specifications]
    for specification, metric in zip(specifications, parsed, strict=True):
        _warn_of_missing_direction(specification.target, metric)
    if prompts is not None:
        parsed[0] = _asked(parsed[0], prompts)
    labels = [metric.label for metric in parsed]
    for metric in parsed:
        _check_label(metric.label, labels)
        if metric.takes not in also:
            _check_scores_images(metric)
        if isinstance(metric, PyiqaDescription) and metric.options and not metric.is_ours:
            from ...weights.pyiqas_files import check_options  # imports torch

            check_options(metric.options, trust_weights)
    return parsed


def _stands_alone(metric: Any) -> bool:
    """Return whether the caller gave one metric on CLIP, or a function that makes one, without label."""
    net = getattr(metric, "net", None)
    is_pyiqas = net is not None and not hasattr(net, "encode_image")
    is_named = isinstance(metric, str | Mapping | list | tuple)
    return not is_pyiqas and not is_named and not isinstance(metric, Description | ImageMetric | FileMetric)


def _asked(first: AnyMetric, prompts: AnyPrompts) -> Description:
    """Return a CLIP-IQA with a column for each of the prompts."""
    can_be_asked = isinstance(first, ObjectDescription) or (isinstance(first, PyiqaDescription) and first.is_clipiqa)
    if not isinstance(first, Description) or not can_be_asked:
        name = first.name if isinstance(first, Description) else first.label
        raise CLIPIQAError(f"the first metric is asked the prompts, so it must be a CLIP-IQA; got {name!r}.")
    return replace(first, label="", questions=prompts)


def _warn_of_missing_direction(target: Any, metric: AnyMetric) -> None:
    is_new_object = isinstance(metric, ObjectDescription) and not isinstance(target, Description)
    if is_new_object and getattr(target, "lower_better", None) is None:
        log.warning(
            f"high scores of {metric.label!r} are taken as good: set its attribute lower_better to True or False."
        )


def _check_label(label: str, labels: Sequence[str]) -> None:
    if label in ("path", "mos"):
        raise CLIPIQAError(f"a metric cannot be called {label!r}, a column of the results: give it a label.")
    if labels.count(label) > 1:
        raise CLIPIQAError(
            f"two metrics are called {label!r}: label one, as in 'mine={label}' (an object: {{'mine': object}})."
        )


def _check_scores_images(metric: AnyMetric) -> None:
    why = _OTHERWISE.get(metric.takes, "")
    if not why and isinstance(metric, PyiqaDescription) and _architecture(metric) == "CLIPScore":
        why = "needs a caption for each image"
    if why:
        raise CLIPIQAError(f"metric {metric.label!r} does not score single images, since it {why}.")


def _metric_of(specification: Specification) -> AnyMetric:
    target = specification.target
    if isinstance(target, Description | ImageMetric | FileMetric):
        return target.with_label(specification.label) if specification.label else target
    if not isinstance(target, str):
        return _of_object(specification)
    if Path(target).suffix or os.path.isdir(target):
        from ..results.score_files import is_score_file  # many modules

        if is_score_file(target):
            return read_file_metric(specification.label, target, dict(specification.options))
    return _of_name(specification)


def _of_name(specification: Specification) -> PyiqaDescription:
    """Return a metric named as in pyiqa, a file of learned prompts or a head, or options of pyiqa under a label."""
    entry = _configured(specification)
    is_learned = entry.get("metric") == "clipiqa+" and specification.target.endswith(_LEARNED)
    label = specification.label or (Path(specification.target).stem if is_learned else "")
    check_kinds(entry, _ENTRY, f"metric {specification.label or specification.target!r}")
    options = entry.get("metric_opts") or {}
    asked = _asked_name(entry, label)
    name, preset = NAMES.get(asked, (asked, {}))
    _check_name(name)
    changed = _changed_options(name, {**preset, **options})
    description = PyiqaDescription(label or _label_of(asked, options), name, options=changed)
    architecture = _architecture(description)
    config = pyiqa_configs().get(name, {}) | {key: value for key, value in entry.items() if value is not None}
    takes = _takes(config.get("metric_mode"), architecture in _OF_SETS)
    record = told_record(description.label, name or architecture, config.get)
    return replace(description, takes=takes, record=record)


def _asked_name(entry: Mapping[str, Any], label: str) -> str:
    """Return the name of the metric in an entry as pyiqa or we spell it; empty if its options give an architecture."""
    known = pyiqa_configs()
    name = entry.get("metric") or label
    if "metric" not in entry and name not in known and (entry.get("metric_opts") or {}).get("type"):
        return ""
    spellings = {spelling.lower(): spelling for spelling in (*known, *NAMES)}
    return spellings.get(name.lower(), name)


def _check_name(name: str) -> None:
    """Raise ``CLIPIQAError`` for a name of no metric; where pyiqa is missing, tell that instead."""
    known = pyiqa_configs()
    if not name or name in known or PyiqaDescription("", name).is_ours:
        return
    if not known:
        import_pyiqa()
    if "|" in name or is_single(name):
        raise CLIPIQAError(f"{name!r} is no metric but a question: pass it to `{{prompts}}`.", options=("prompts",))
    raise CLIPIQAError(f"unknown metric {name!r}: {hint_for(name, [*known, *NAMES])}")


def _changed_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that differ from pyiqa's for this metric."""
    usual = pyiqa_configs().get(name, {}).get("metric_opts", {})
    return {key: value for key, value in options.items() if key not in usual or usual[key] != value}


def _configured(specification: Specification) -> dict[str, Any]:
    """Return pyiqa's entry of a metric: its name, and changes to its options."""
    if not specification.target:
        return dict(specification.options)
    if specification.target.endswith(_LEARNED):
        return {
            "metric": "clipiqa+",
            "metric_opts": {"pretrained_model_path": specification.target, **specification.options},
        }
    return {"metric": specification.target, "metric_opts": dict(specification.options)}


def _label_of(name: str, options: Mapping[str, Any]) -> str:
    """Return a metric's name with its options, but for the files that they name."""
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(texts)}" if texts else name


def _takes(mode: Any, is_of_sets: bool) -> Takes:
    """Return what a metric takes, from pyiqa's mode; it calls metrics of sets no-reference ones, too."""
    if is_of_sets:
        return Takes.FOLDERS
    return Takes.PAIR if mode == "FR" else Takes.IMAGE


def _architecture(metric: PyiqaDescription) -> str:
    usual = pyiqa_configs().get(metric.name, {}).get("metric_opts", {})
    return str({**usual, **metric.options}.get("type", ""))


def _of_object(specification: Specification) -> ObjectDescription:
    instance = specification.target
    if not callable(instance):
        raise CLIPIQAError(f"a metric must be a name, options, or a function of images; got {shown(instance)}.")
    kind = instance if hasattr(instance, "__qualname__") else type(instance)
    name = getattr(instance, "metric_name", f"{kind.__module__}.{kind.__qualname__}")
    label = specification.label or name.rpartition(".")[2]
    is_of_sets = getattr(instance, "of_sets", False) or type(getattr(instance, "net", instance)).__name__ in _OF_SETS
    takes = _takes(getattr(instance, "metric_mode", "NR"), is_of_sets)
    record = told_record(label, name, partial(getattr, instance))
    return ObjectDescription(label, name, takes, record=record, instance=instance)
