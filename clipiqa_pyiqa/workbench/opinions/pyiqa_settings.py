"""Settings of pyiqa's data sets: those that it ships, and those of a user, with paths on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...machine import import_pyiqa
from ...text import hint_for
from ..files.specifications import Settings, check_kinds
from ..files.yaml import read_yaml

PATH_OPTIONS = ("meta_info_file", "dataroot_target", "dataroot_ref")
_OPTIONS = {"augment": Mapping, "lower_better": bool, "mos_normalize": bool, **dict.fromkeys(PATH_OPTIONS, str)}
_OF_PAIRS = ("PieAPPDataset", "BAPPSDataset")


@cache
def known_sets() -> dict[str, dict[str, Any]]:
    """Return pyiqa's names of data sets -> their settings, without importing pyiqa, which takes seconds."""
    package = find_spec("pyiqa")
    if package is None or not package.submodule_search_locations:
        import_pyiqa()  # raises
        return {}
    return read_yaml(Path(package.submodule_search_locations[0], "default_dataset_configs.yml"))


def usual_settings(name: str, label: str) -> dict[str, Any]:
    """Return pyiqa's settings of a data set; of one that it does not know, those that each has."""
    return {"phase": "test", "name": label, **known_sets().get(name, {})}


def located_settings(name: str, options: Settings, label: str, data_root: FilePath) -> dict[str, Any]:
    """Return the settings of a data set, with its paths below a folder; raise ``CLIPIQAError`` for bad options.

    Args:
        options: Options that differ from pyiqa's.
        label: Name of the data set in messages.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
    """
    settings = {**usual_settings(name, label), **options}
    _check_options(name, settings, label)
    for key in PATH_OPTIONS:
        if settings.get(key):
            settings[key] = str(_below(data_root, settings[key]))
    return settings


def _check_options(name: str, settings: Settings, label: str) -> None:
    """Raise ``CLIPIQAError`` for options that pyiqa's data set does not have, and for judgements of pairs."""
    known = known_sets()
    where = f"data set {label!r}"
    if "type" not in settings:
        raise CLIPIQAError(
            f"{name!r} is neither a data set of pyiqa's nor a CSV file nor a folder: {hint_for(name, known)} "
            "Options of your own data set need pyiqa's 'type', such as GeneralNRDataset, or 'csv' or 'folder'."
        )
    allowed: dict[str, Any] = {"phase": object}
    for usual in known.values():
        allowed |= dict.fromkeys(usual, object)
    if all(usual["type"] != settings["type"] for usual in known.values()):  # a type with options of its own
        allowed |= dict.fromkeys(settings, object)
    check_kinds(settings, {**allowed, **_OPTIONS}, where)
    if settings["type"] in _OF_PAIRS:
        raise CLIPIQAError(f"{where} holds judgements of pairs, not a score for each image.")


def _below(data_root: FilePath, path: FilePath) -> Path:
    """Return a path of pyiqa's, with ``./datasets`` at its start replaced by ``data_root``."""
    parts = Path(path).parts  # without the './'
    if parts[:1] == ("datasets",):
        path = Path(data_root, *parts[1:])
    return Path(path).expanduser()
