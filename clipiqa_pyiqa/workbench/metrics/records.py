"""Fields of the records of metrics that are not ours: what their scores depend on."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...files import remembered_sha256
from ..files.specifications import Settings
from ..results.columns import Record
from .parameters import hash_state


def record_of_options(options: Settings) -> Record:
    """Return the version of pyiqa and the options of one of its metrics; a file is told by its hash."""
    files = {
        key: Path(value)
        for key, value in options.items()
        if isinstance(value, str)
        and os.path.exists(value)
        and not os.path.isdir(value)  # remembered_sha256 refuses a pipe
    }
    hashes = {key: remembered_sha256(file) for key, file in files.items()}
    record: dict[str, Any] = {"pyiqa": version("pyiqa"), "options": {**options, **hashes}}
    if files:
        record["files"] = {file.name: hashes[key] for key, file in files.items()}
    return record


def record_of_object(instance: Any) -> Record:
    """Return the options and parameters of an object that pyiqa made, or the version that another one tells."""
    if not _is_pyiqas(instance):
        return {"metric_version": _version_of(instance)}
    record: dict[str, Any] = {"pyiqa": version("pyiqa"), "options": _plain_options_of(instance)}
    parameters = hash_state(getattr(instance, "net", instance))
    if parameters:
        record["parameters"] = parameters
    return record


def _is_pyiqas(instance: Any) -> bool:
    """Return whether pyiqa made an object and the network in it."""
    net = getattr(instance, "net", instance)
    parts = (instance, net)
    return isinstance(net, torch.nn.Module) and all(type(part).__module__.startswith("pyiqa.") for part in parts)


_NOT_OPTIONS = ("training", "device", "metric_name", "metric_mode", "lower_better", "score_range")


def _plain_options_of(instance: Any) -> Record:
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
