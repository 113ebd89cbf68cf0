"""Metrics as users name them: names, configurations, files and objects."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, import_pyiqa, nearest, shown
from ..files.specification import Specification, check_kinds, parse_specifications, pyiqa_configs
from ..results.columns import Column
from .metric import Metric, MetricSet, Mode

if TYPE_CHECKING:
    import torch

NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "mini": ("clipiqa", {"backbone": "mini"}),
    "psnr-y": ("psnry", {"color_space": "ycbcr"}),
    "psnr-rgb": ("psnr", {}),
    "ssim-y": ("ssim", {"color_space": "ycbcr"}),
    "ssim-rgb": ("ssimc", {}),
}
"""Our name -> pyiqa's, and options."""
_ENTRY = {"metric": str, "metric_opts": Mapping, "metric_mode": str, "lower_better": bool, "score_range": str}
_OF_SETS = ("FID", "InceptionScore")  # their mode in pyiqa is NR
_CAPTIONED = "CLIPScore"
_OTHERWISE = {
    "set": "rates a set of images: use `clipiqa table`",
    "FR": "needs a reference image: use `clipiqa table`",
    "file": "has its scores in a file: use `clipiqa score`, `compare` or `table`",
}


def parse_metrics(
    given: Any, prompts: Any = None, *, also: Collection[str] = (), trust_weights: bool = False
) -> list[Metric]:
    """Return the metrics that the caller names; nothing is built.

    Args:
        given: A text such as ``'niqe'``, ``'mine=niqe:pretrained_model_path=FILE'``, a file of learned prompts or a
            head, or a file of scores; a mapping of label -> None, pyiqa's options or a metric object; or a list of
            these. A CLIP-IQA that stands alone, or a function that makes one, has a column for each question.
        prompts: Questions for the first metric, a CLIP-IQA, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`.
        also: Modes to accept besides ``'NR'``.
    """
    if _stands_alone(given):
        return [Metric("", instance=given, questions=prompts)]
    metrics = [_find(each) for each in parse_specifications(given, "metric")]
    if prompts is not None:
        first = metrics[0]
        if first.instance is None and not first.is_clipiqa:
            raise CLIPIQAError(f"the first metric is asked the prompts, so it must be a CLIP-IQA; got {first.name!r}.")
        metrics[0] = replace(first, label="", questions=prompts)
    labels = [metric.label for metric in metrics]
    for metric in metrics:
        label = metric.label
        if label in ("path", "mos"):
            raise CLIPIQAError(f"a metric cannot be called {label!r}, a column of the results: give it a label.")
        if labels.count(label) > 1:
            raise CLIPIQAError(f"two metrics are called {label!r}: give one a label, as in 'mine={label}'.")
        why = "" if metric.mode in also else _OTHERWISE.get(metric.mode, "")
        if why := why or ("needs a caption for each image" if _kind(metric) == _CAPTIONED else ""):
            raise CLIPIQAError(f"metric {label!r} does not score single images, since it {why}.")
    for metric in metrics:
        if metric.options and not metric.is_ours and metric.mode != "file":
            from ..weights.checkpoint import check_options  # imports torch

            check_options(metric.options, trust_weights)
    return metrics


def metric_set(
    given: Any, prompts: Any = None, device: torch.device | str = "cpu", *, strict: bool = False, **options: Any
) -> MetricSet:
    """Return the built metrics of a run; arguments as for :func:`parse_metrics`."""
    import torch

    from .building import build

    metrics = [build(each, torch.device(device), strict=strict) for each in parse_metrics(given, prompts, **options)]
    if all(metric.error for metric in metrics):
        raise CLIPIQAError(f"metric {metrics[0].label!r} cannot be used: {metrics[0].error}")
    return MetricSet(metrics)


def _stands_alone(given: Any) -> bool:
    net = getattr(given, "net", None)
    is_pyiqas = net is not None and not hasattr(net, "encode_image")
    return not is_pyiqas and not isinstance(given, str | Mapping | list | tuple | Metric)


def _find(given: Specification) -> Metric:
    target, entry, known = given.target, dict(given.options), pyiqa_configs()
    if isinstance(target, Metric):
        return replace(target, label=given.label or target.label)
    if not isinstance(target, str):
        return _of_object(given)
    label = given.label
    if Path(target).suffix or os.path.isdir(target):
        from ..results.scores import is_score_file  # many modules

        if is_score_file(target):
            from .files import file_metric

            return file_metric(label, target, entry)
    if target:
        entry = {"metric": target, "metric_opts": entry}
        if target.endswith((".safetensors", ".pth")):
            label = label or Path(target).stem
            entry = {"metric": "clipiqa+", "metric_opts": {"pretrained_model_path": target, **given.options}}
    check_kinds(entry, _ENTRY, f"metric {given.label or target!r}")
    options, asked = entry.get("metric_opts") or {}, entry.get("metric") or label
    if "metric" not in entry and asked not in known and options.get("type"):
        asked = ""
    asked = {name.lower(): name for name in (*known, *NAMES)}.get(asked.lower(), asked)
    name, preset = NAMES.get(asked, (asked, {}))
    if name and name not in known and not Metric("", name).is_ours:
        if not known:
            import_pyiqa()
        raise CLIPIQAError(f"unknown metric {name!r}: {nearest(name, [*known, *NAMES])}")
    config = {**known.get(name, {}), **{key: value for key, value in entry.items() if value is not None}}
    usual = known.get(name, {}).get("metric_opts", {})
    changed = {k: value for k, value in {**preset, **options}.items() if k not in usual or usual[k] != value}
    metric = Metric(label or _label(asked, options), name, changed, mode=config.get("metric_mode", "NR"))
    kind = _kind(metric)
    column = _column(metric.label, name or kind, config.get)
    return replace(metric, mode="set" if kind in _OF_SETS else metric.mode, columns=(column,))


def _kind(metric: Metric) -> str:
    usual = pyiqa_configs().get(metric.name, {}).get("metric_opts", {})
    return str({**usual, **metric.options}.get("type", ""))


def _of_object(given: Specification) -> Metric:
    made = given.target
    if not callable(made):
        raise CLIPIQAError(f"a metric must be a name, options, or a function of images; got {shown(made)}.")
    name = getattr(made, "metric_name", type(made).__name__)
    net = getattr(made, "net", made)
    is_of_sets = getattr(made, "of_sets", False) or type(net).__name__ in _OF_SETS
    mode: Mode = "set" if is_of_sets else getattr(made, "metric_mode", "NR")
    label = given.label or name
    return Metric(label, name, instance=made, mode=mode, columns=(_column(label, name, partial(getattr, made)),))


def _column(label: str, name: str, told: Callable[[str, Any], Any]) -> Column:
    """Return a column with the range and the direction that are told; None stands for an open end.

    pyiqa writes ranges as ``'0, ~100'``.
    """
    ends = told("score_range", None)
    texts = f"{ends or ''},".split(",") if isinstance(ends, str | None) else ends
    numbers = [float(end) if re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", str(end)) else None for end in texts[:2]]
    return Column(label, {"metric": name, "range": numbers, "lower_better": bool(told("lower_better", None))})


def _label(name: str, options: Mapping[str, Any]) -> str:
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(texts)}" if texts else name
