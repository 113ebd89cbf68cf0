"""Building of metrics, and what their scores depend on."""

import hashlib
import inspect
import os
import pickle
import re
import sys
import textwrap
import threading
import traceback
import weakref
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ..errors import CLIPIQAError, ConfigError, check_keys, import_pyiqa, log
from ..files.reading import sha256_of
from ..metric import CLIPIQA, net_of
from ..prompts.pairs import column_records, parse_columns
from ..results.columns import Column, Record
from .configurations import pyiqa_configs
from .metric import UNCHANGED, Metric
from .parameters import hash_parameters, opened_weights


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
        if metric.preprocess == UNCHANGED or metric.mode == "set":
            return metric
        return replace(metric, columns=noted(metric.columns, metric.preprocess.record(device.type == "cuda")))
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


def noted(columns: tuple[Column, ...], fields: Record) -> tuple[Column, ...]:
    """Return columns with these fields in their records."""
    return tuple(replace(column, record={**column.record, **fields}) for column in columns)


def create_ours(name: Any, device: torch.device, **options: Any) -> Any:
    kind: Any = CLIPIQA
    if not name.startswith("clipiqa"):
        from ..family import MEMBERS

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
    net, questions = metric.net, metric.questions
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
    if metric.instance is None or type(made).__module__.startswith("pyiqa."):
        more["pyiqa"] = version("pyiqa")
    if metric.instance is not None:
        more["state"] = _state(made)
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


class _Pickler(pickle.Pickler):
    """Writes equal bytes for equal contents, in every process; parameters go to a hash of their own, or nowhere."""

    parameters: Any = None

    def persistent_id(self, part: Any) -> Any:
        is_parameter = isinstance(part, torch.nn.Parameter)
        if is_parameter and not self.parameters:
            return ""
        if isinstance(part, torch.Tensor):
            content = np.asarray(part.detach().cpu().double()).tobytes()
            return self.parameters.update(content) or "" if is_parameter else content
        if isinstance(part, set | frozenset):
            return sorted(map(repr, part))
        return "" if isinstance(part, torch.device) else None


def _source(kind: type) -> Any:
    """Return the source of a class; without one, as in a notebook, the code of its methods."""
    with suppress(Exception):
        source = inspect.getsource(kind)
        if f"class {kind.__name__}" in source:  # Python 3.13 takes lines of the script for what a console defined
            return source
    codes = [method.__code__ for method in vars(kind).values() if inspect.isfunction(method)]
    return [
        (code.co_code, code.co_names, [part for part in code.co_consts if not inspect.iscode(part)]) for code in codes
    ]


def _digest(made: Any, parameters: Any = None) -> str | None:
    """Return a hash of an object's class and of all that both hold; None if that is nothing or cannot be pickled.

    ``parameters`` is the hash that takes the parameters of networks.
    """
    kinds = [each for each in type(made).__mro__ if not each.__module__.startswith(("builtins", "torch."))]
    held = {
        name: part
        for each in kinds
        for name, part in vars(each).items()
        if not (name.startswith(("__", "_abc_")) or hasattr(part, "__get__"))
    }
    own = {} if type(made).__module__ == "builtins" else getattr(made, "__dict__", {})
    digest = hashlib.sha256()
    pickler = _Pickler(SimpleNamespace(write=digest.update))
    pickler.parameters = parameters
    pickler.fast = True  # whether equal parts are one object does not matter
    try:
        pickler.dump((repr(type(made)), list(map(_source, kinds)), held, own))
    except Exception:  # a lambda or an open file; objects raise almost anything
        return None
    return digest.hexdigest()[:16] if held or own else None


_after: weakref.WeakKeyDictionary[Any, tuple[str | None, str | None]] = weakref.WeakKeyDictionary()


def _state(made: Any) -> str | None:
    """Return the hash of an object as its caller made it, before this process scored by it."""
    parameters = hashlib.sha256()
    if (rest := _digest(made, parameters)) is None:
        return None
    now = rest + parameters.hexdigest()[:16]
    with suppress(TypeError):  # some objects cannot be a key
        before, after = _after.get(made, (now, rest))
        return before if rest == after and before and before[16:] == now[16:] else now
    return now


def settle(metric: Metric) -> None:
    """Remember that a run, not the caller, changed a metric's object, such as its count of calls."""
    made = getattr(metric.instance, "net", metric.instance)
    with suppress(TypeError, KeyError):
        _after[made] = metric.columns[0].record["state"], _digest(made)


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
