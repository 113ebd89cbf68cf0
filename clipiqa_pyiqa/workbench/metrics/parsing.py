"""Metrics as users name them: names, configurations, files and objects."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError
from ...files.printable import on_disk
from ...files.reading import hash_file
from ...logger import log
from ...prompts.pairs import PromptPair, Prompts
from ...pyiqa_package import import_pyiqa
from ...text import counted, few, nearest, shown
from ..files.named import Settings, Specification, check_kinds, parse_specifications
from ..results.columns import Column
from .configurations import pyiqa_configs
from .kinds import Metric, MetricSet, Mode, scores_of

if TYPE_CHECKING:
    import torch

AnyPrompts = Prompts | Mapping[str, Sequence[PromptPair]]
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
_OTHERWISE = {
    "set": "rates a set of images: use `clipiqa table`",
    "FR": "needs a reference image: use `clipiqa table`",
    "file": "has its scores in a file: use `clipiqa score`, `compare` or `table`",
}


def parse_metrics(
    given: Any, prompts: AnyPrompts = None, *, also: Collection[str] = (), trust_weights: bool = False
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
    net = getattr(given, "net", None)
    is_pyiqas = net is not None and not hasattr(net, "encode_image")
    if not is_pyiqas and not isinstance(given, str | Mapping | list | tuple | Metric):  # it stands alone
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
            raise CLIPIQAError(
                f"two metrics are called {label!r}: label one, as in 'mine={label}' (an object: {{'mine': object}})."
            )
        why = "" if metric.mode in also else _OTHERWISE.get(metric.mode, "")
        if why := why or ("needs a caption for each image" if _kind(metric) == "CLIPScore" else ""):
            raise CLIPIQAError(f"metric {label!r} does not score single images, since it {why}.")
        if metric.options and not metric.is_ours and metric.mode != "file":
            from ...weights.checkpoint import check_options  # imports torch

            check_options(metric.options, trust_weights)
    return metrics


def metric_set(
    given: Any, prompts: AnyPrompts = None, device: torch.device | str = "cpu", *, strict: bool = False, **options: Any
) -> MetricSet:
    """Return the built metrics of a run; arguments as for :func:`parse_metrics`."""
    import torch

    from .building import build

    metrics = [build(each, torch.device(device), strict=strict) for each in parse_metrics(given, prompts, **options)]
    if all(metric.error for metric in metrics):
        raise CLIPIQAError(f"metric {metrics[0].label!r} cannot be used: {metrics[0].error}")
    return MetricSet(metrics)


def _find(given: Specification) -> Metric:
    target = given.target
    entry = dict(given.options)
    known = pyiqa_configs()
    if isinstance(target, Metric):
        return replace(target, label=given.label or target.label)
    if not isinstance(target, str):
        return _of_object(given)
    label = given.label
    if Path(target).suffix or os.path.isdir(target):
        from ..results.scores import is_score_file  # many modules

        if is_score_file(target):
            return file_metric(label, target, entry)
    if target:
        entry = {"metric": target, "metric_opts": entry}
        if target.endswith((".safetensors", ".pth")):
            label = label or Path(target).stem
            entry = {"metric": "clipiqa+", "metric_opts": {"pretrained_model_path": target, **given.options}}
    check_kinds(entry, _ENTRY, f"metric {given.label or target!r}")
    options = entry.get("metric_opts") or {}
    asked = entry.get("metric") or label
    if "metric" not in entry and asked not in known and options.get("type"):
        asked = ""
    asked = {name.lower(): name for name in (*known, *NAMES)}.get(asked.lower(), asked)
    name, preset = NAMES.get(asked, (asked, {}))
    if name and name not in known and not Metric("", name).is_ours:
        if not known:
            import_pyiqa()
        raise CLIPIQAError(f"unknown metric {name!r}: {nearest(name, [*known, *NAMES])}")
    config = known.get(name, {}) | {key: value for key, value in entry.items() if value is not None}
    usual = known.get(name, {}).get("metric_opts", {})
    changed = {k: value for k, value in {**preset, **options}.items() if k not in usual or usual[k] != value}
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    label = label or (f"{asked}:{','.join(texts)}" if texts else asked)
    metric = Metric(label, name, changed, mode=config.get("metric_mode", "NR"))
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
    kind = made if hasattr(made, "__qualname__") else type(made)
    name = getattr(made, "metric_name", f"{kind.__module__}.{kind.__qualname__}")
    label = given.label or name.rpartition(".")[2]
    is_of_sets = getattr(made, "of_sets", False) or type(getattr(made, "net", made)).__name__ in _OF_SETS
    mode: Mode = "set" if is_of_sets else getattr(made, "metric_mode", "NR")
    if getattr(made, "lower_better", None) is None:
        log.warning(f"high scores of {label!r} are taken as good: set its attribute lower_better to True or False.")
    return Metric(label, name, instance=made, mode=mode, columns=(_column(label, name, partial(getattr, made)),))


def _column(label: str, name: str, told: Callable[[str, Any], Any]) -> Column:
    """Return a column with the range and direction that are told."""
    ends = told("score_range", None)
    is_low_good = told("lower_better", None)
    if isinstance(is_low_good, str):
        raise CLIPIQAError(f"lower_better of metric {label!r} must be True or False; got {shown(is_low_good)}.")
    return Column(label, {"metric": name, "range": _range(label, ends), "lower_better": bool(is_low_good)})


def _range(label: str, ends: Any) -> list[float | None]:
    """Return the lowest and the highest possible score; None: an open end.

    Args:
        ends: Two numbers or Nones, or a text as pyiqa writes it, ``'0, ~100'``.
    """
    if ends is None:
        return [None, None]
    if isinstance(ends, str):
        texts = f"{ends},".split(",")[:2]
        return [float(end) if re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", end) else None for end in texts]
    try:
        low, high = [math.nan if end is None else float(end) for end in ends]
    except (TypeError, ValueError) as error:
        raise CLIPIQAError(
            f"score_range of metric {label!r} must be two numbers (None: no limit), or a text such as '0, 1'; got "
            f"{shown(ends)}."
        ) from error
    return [end if math.isfinite(end) else None for end in (low, high)]


METHOD = "{method}"  # in a file's name: one file for each method of a table
_OF_FILES = {"column": str, "key": str, "lower_better": bool}


def file_metric(label: str, path: str, options: Settings, given: str = "") -> Metric:
    """Return the metric whose scores are in a file of any tool, or in a folder of results on Ray.

    They are joined by image names.

    Args:
        options: ``column`` of scores, ``key`` (column of image names), ``lower_better``.
        given: The path as the user wrote it, such as ``{method}.csv``.
    """
    from ..results.directions import direction_by_name, known_word
    from ..results.scores import read_scores  # many modules

    label = label or Path(path).stem
    check_kinds(options, _OF_FILES, f"metric {label!r}")
    if METHOD in path:
        return Metric(label, path, options, mode="file", columns=(Column(label),))
    column = options.get("column")
    low = options.get("lower_better")
    found = read_scores(path, columns=column and [column], key=options.get("key"))
    first, *more = found.names
    if not column and more and label not in found.names:
        raise CLIPIQAError(
            f"{path!r} has the scores {', '.join(found.names)}: name one, as in '{label}={path}:column={first}'."
        )
    column = column or (label if more else first)
    file = Path(path).expanduser()
    record = found.columns.get(column, Column(column)).record or {
        "metric": column,
        "file": file.name,
        "sha256": hash_file(file),
        "range": [None, None],
    }
    by_label = None if known_word(column) else direction_by_name(label)
    known = (low, record.get("lower_better"), direction_by_name(column), by_label)
    direction = next((each for each in known if each is not None), None)
    if direction is None:
        raise CLIPIQAError(
            f"nothing says whether low or high scores of {label!r} are good: pass '{label}={given or path}:"
            "lower_better=true', or false."
        )
    values = found.frame[column].dropna()
    if len(twice := values.index[values.index.duplicated()]):
        raise CLIPIQAError(f"{path!r} has several scores {column!r} of {twice[0]!r}: keep one.")
    if changed := found.changed(values.index, on_disk):
        log.warning(
            f"left out: {path!r} has scores of {counted(len(changed), 'image')} that changed since: {few(changed)}"
        )
        values = values.drop(changed)
    made = Column(label, {**record, "lower_better": direction})
    return Metric(label, path, options, mode="file", columns=(made,), score=values.to_dict())


def of_methods(metric: Metric, files: Mapping[str, Sequence[str]]) -> Metric:
    """Return a metric with the scores of all methods' images: of one file for each method, or of a common file."""
    if METHOD not in metric.name:
        return replace(metric, score=scores_of(metric, [path for paths in files.values() for path in paths]))
    path = metric.name
    parts = [file_metric(metric.label, path.replace(METHOD, name), metric.options, path) for name in files]
    scores = dict[str, float]()
    for part, paths in zip(parts, files.values(), strict=True):
        scores |= scores_of(part, paths)
    record = dict(parts[0].columns[0].record)
    if "sha256" in record:
        record["sha256"] = " ".join(part.columns[0].record["sha256"] for part in parts)
    return replace(metric, columns=(Column(metric.label, record),), score=scores)
