"""Building of metrics, and what their scores depend on."""

import inspect
import os
import re
import sys
import textwrap
import threading
import traceback
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...checks import check_keys
from ...errors import CLIPIQAError, ConfigError
from ...files.reading import sha256_of
from ...logger import log
from ...metric import CLIPIQA, net_of
from ...prompts.pairs import parse_columns
from ...prompts.records import column_records
from ...pyiqa_package import import_pyiqa
from ..results.columns import Column, Record
from .configurations import pyiqa_configs
from .kinds import UNCHANGED, Metric
from .parameters import hash_parameters, hash_state, opened_weights


def build(metric: Metric, device: torch.device, seed: int = 0, strict: bool = False) -> Metric:
    """Return the metric, ready to score, or with an ``error``, which ``strict`` raises; its records are made anew."""
    if metric.label:
        metric = replace(metric, columns=tuple(replace(column, name=metric.label) for column in metric.columns))
    if metric.error or metric.mode == "file":
        return metric
    try:
        metric = _with_record(metric, seed)
        if metric.score is None:
            metric = _with_network(metric, device, seed)
        net = getattr(metric.score, "net", metric.score)
        if not metric.label or hasattr(net, "encoding"):
            metric = _of_clip(replace(metric, net=net), device)
        return _with_view(metric, device)
    except ConfigError:  # an unknown option
        raise
    except Exception as error:
        if not metric.label:
            raise
        name = metric.name or "NAME"
        fetch = _missing_file(error)
        log.error(f"metric {metric.label} cannot be built: {_as_named(str(error), name)}{fetch}")  # all its lines
        reason = f"it cannot be built: {_as_named(describe_error(error), name)}{fetch}."
        if strict:
            raise CLIPIQAError(f"metric {metric.label}: {reason}") from error
        if metric.is_ours:  # its record lacks all that its weights would tell
            metric = replace(metric, columns=noted(metric.columns, {"error": reason}))
        return replace(metric, error=reason)


def _with_view(metric: Metric, device: torch.device) -> Metric:
    """Return the metric with what it sees of an image in its record."""
    if metric.preprocess == UNCHANGED or metric.mode == "set":
        return metric
    return replace(metric, columns=noted(metric.columns, metric.preprocess.record(device.type == "cuda")))


def noted(columns: tuple[Column, ...], fields: Record) -> tuple[Column, ...]:
    """Return columns with these fields in their records."""
    return tuple(replace(column, record={**column.record, **fields}) for column in columns)


def create_ours(name: Any, device: torch.device, **options: Any) -> Any:
    kind: Any = CLIPIQA
    if not name.startswith("clipiqa"):
        from ...family import MEMBERS

        kind = MEMBERS.get(name, CLIPIQA)
    return kind(name, **options).to(device).eval()


def _with_network(metric: Metric, device: torch.device, seed: int) -> Metric:
    """Return a metric that can score; the record of one of pyiqa's tells its parameters, and the files they are from.

    Raises what pyiqa raises.
    """
    if metric.instance is not None:
        made = metric.instance if metric.label else net_of(metric.instance)
        made = made.to(device) if metric.label and isinstance(made, torch.nn.Module) else made
        return replace(metric, score=made)
    if metric.is_clipiqa:
        known = inspect.signature(CLIPIQA).parameters
        check_keys(metric.options, known, f"the options of {metric.label or 'CLIP-IQA'!r}")
    if metric.is_ours:
        return replace(metric, score=create_ours(metric.name, device, **metric.options))
    with _PYIQA, opened_weights() as paths, torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
        torch.default_generator.manual_seed(seed)  # for parameters that are in no file
        score = _create_pyiqas(metric, device)
    if any("parameters" in column.record for column in metric.columns):  # in a process of its own
        return replace(metric, score=score)
    fields = dict[str, Any]()
    if paths:
        named = metric.columns[0].record.get("files", {})  # by options
        fields["files"] = {**named, **{path.name: sha256_of(path) for path in paths}}
    if parameters := hash_parameters(getattr(score, "net", score)):
        fields["parameters"] = parameters
    return replace(metric, score=score, columns=noted(metric.columns, fields))


_PYIQA = threading.Lock()
"""While a metric of pyiqa is built: standard output, where pyiqa prints, and torch's seed are those of all threads."""


def _create_pyiqas(metric: Metric, device: torch.device) -> Any:
    archs = import_pyiqa(".archs")
    if not metric.name:
        return archs.build_network(dict(metric.options)).to(device).eval()
    try:
        return import_pyiqa().create_metric(metric.name, device=device, **metric.options)
    except TypeError:  # perhaps an unknown option
        kind = archs.ARCH_REGISTRY.get(pyiqa_configs()[metric.name]["metric_opts"]["type"])
        check_keys(metric.options, inspect.signature(kind).parameters, f"the options of {metric.label!r}")
        raise


def _of_clip(metric: Metric, device: torch.device) -> Metric:
    """Return a CLIP metric with its columns: each record has the fields of the tower and of the question."""
    net = metric.net
    questions = metric.questions
    fields = net.provenance()
    records = fields.pop("scores")
    if questions is not None:
        questions = parse_columns(questions, getattr(net, "template", None))
        records = column_records(questions)
    if device.type != "cpu":
        fields.pop("cpu_arithmetic", None)
    columns = tuple(Column(name, {**fields, **record}) for name, record in records.items())
    if metric.label:
        if len(columns) > 1:
            raise CLIPIQAError(f"one score is needed, but it gives {len(columns)} to an image: set aggregate=mean")
        columns = (replace(columns[0], name=metric.label),)
    return replace(metric, questions=questions, columns=columns)


def _with_record(metric: Metric, seed: int) -> Metric:
    """Return a metric whose column's record has all fields of a metric that is not ours."""
    made = getattr(metric.instance, "net", metric.instance)
    if metric.is_ours or not metric.label or hasattr(made, "encoding"):
        return metric
    more: dict[str, Any] = {"seed": seed}
    if metric.instance is None or _is_pyiqas(metric.instance):
        more["pyiqa"] = version("pyiqa")
    if metric.instance is not None and _is_pyiqas(metric.instance):
        more["options"] = _options_of(metric.instance)
        if parameters := hash_state(made):
            more["parameters"] = parameters
    elif metric.instance is not None:
        more["metric_version"] = _version_of(metric.instance)
    else:
        files = {
            key: Path(value)
            for key, value in metric.options.items()
            if isinstance(value, str) and os.path.exists(value) and not os.path.isdir(value)  # sha256_of refuses a pipe
        }
        hashes = {key: sha256_of(file) for key, file in files.items()}
        more["options"] = {**metric.options, **hashes}
        if files:
            more["files"] = {file.name: hashes[key] for key, file in files.items()}
    return replace(metric, columns=noted(metric.columns, more))


def _is_pyiqas(instance: Any) -> bool:
    """Return whether pyiqa made an object and the network in it."""
    made = getattr(instance, "net", instance)
    parts = (instance, made)
    return isinstance(made, torch.nn.Module) and all(type(part).__module__.startswith("pyiqa.") for part in parts)


_NOT_OPTIONS = ("training", "device", "metric_name", "metric_mode", "lower_better", "score_range")


def _options_of(instance: Any) -> Record:
    """Return the plain options that an object of pyiqa and its network hold, such as ``test_y_channel``."""
    attributes = {**vars(instance), **vars(getattr(instance, "net", instance))}
    return {
        name: option
        for name, option in attributes.items()
        if isinstance(option, str | int | float) and name not in _NOT_OPTIONS and not name.startswith("_")
    }


def _version_of(instance: Any) -> str | None:
    """Return what an object calls its version; None if it does not tell one."""
    told = getattr(instance, "version", None)
    return str(told) if isinstance(told, str | int | float) else None


def describe_error(error: BaseException) -> str:
    if isinstance(error, CLIPIQAError):
        return str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300, placeholder='…')}".rstrip(": .")


def _as_named(text: str, name: str) -> str:
    # options of CLIP belong into the metric's name, in Python and in a shell
    return re.sub(r"\b(backbone|clip_weights)='?(\w+)'?", rf"{name}:\1=\2", text)


def _missing_file(error: BaseException) -> str:
    # after a failed download: a clause about the file to fetch by hand
    calls = {frame.f_code.co_name: frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)}
    if from_hub := calls.get("hf_hub_download"):  # the hub's function, which timm calls
        return f"; {from_hub.get('filename')} of {from_hub.get('repo_id')} is missing in the hub's cache"
    download = calls.get("download_url_to_file")  # torch's function, which pyiqa and torchvision call
    if not download:
        return ""
    text = f"; fetch {download['url']}" + (f" and save it as {download['dst']}" if download["dst"] else "")
    is_option = "load_file_from_url" in calls  # pyiqa's function; torchvision's networks have no such option
    return f"{text}, or name a copy (NAME:pretrained_model_path=FILE)" if is_option else text
