"""Data sets to compare on: pyiqa's, CSV files and folders without scores."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...checks import FilePath, check_path
from ...errors import CLIPIQAError, OptionError
from ...text import printable, shown, twice_in
from ..files.specifications import Settings, Specification, parse_specifications
from .data_set import DataSet
from .data_set_sources import csv_set, folder_set, pyiqa_set
from .pyiqa_sets import locate
from .pyiqa_settings import known_sets
from .random_share import RandomShare, random_share, without_share


def parse_data_sets(
    data_sets: Any, data_root: FilePath | None = None, within: str = "", needs_images: bool = True
) -> list[DataSet]:
    """Return the data sets that a user names; no image is read.

    Args:
        data_sets: A data set's name in pyiqa, a CSV file or a folder, each also with options (``'spaq:split=test'``); a
            mapping from label to one of these, to options or to None (the label is the name); a :class:`DataSet`;
            or a list of these.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
        within: Column of groups, such as scenes, in the tables of opinions; empty: no groups.
        needs_images: Whether one of the images in a CSV file must exist.
    """
    specifications = parse_specifications(data_sets, "data set")
    parsed = [_data_set_of(specification, data_root, within, needs_images) for specification in specifications]
    if name := twice_in(data_set.name for data_set in parsed):
        raise CLIPIQAError(f"two data sets are called {name!r}: give one a label, as in 'mine={name}'.")
    return parsed


def check_data_sets(data_sets: Any, data_root: FilePath | None = None) -> None:
    """Raise ``CLIPIQAError`` if a data set is not known, or its files are missing; PyTorch is not loaded.

    A ``data_root`` without a data set of pyiqa is refused, too, as it has no use.
    """
    has_pyiqas = False
    for specification in parse_specifications(data_sets, "data set"):
        if isinstance(specification.target, DataSet):
            continue
        named = _named(specification)
        if "csv" in named.options:
            if not Path(named.options["csv"]).expanduser().exists():
                raise CLIPIQAError(f"{str(named.options['csv'])!r} does not exist.")
        elif "folder" not in named.options:
            has_pyiqas = True
            locate(named.name, data_root, named.options, named.label)
    if data_root is not None and not has_pyiqas:
        raise OptionError(
            "`data_root` is for data sets of pyiqa, and none is named: leave it out (a CSV file's images are in "
            "FILE.csv:root=DIR).",
            options=("data_root",),
        )


def data_set_labels(data_sets: Any) -> list[str]:
    """Return the names under which results show the data sets that a user names."""
    return [_named(specification).label for specification in parse_specifications(data_sets, "data set")]


@dataclass(frozen=True)
class _Named:
    """A data set as a user names it: a file or folder in its options, or one of pyiqa's by its name."""

    label: str
    name: str
    options: Settings
    share: RandomShare | None


def _named(specification: Specification) -> _Named:
    """Return a data set as a user names it, with ``phase`` for pyiqa's splits."""
    target = specification.target
    options = dict(specification.options)
    if not isinstance(target, str | Path):
        raise CLIPIQAError(f"a data set must be a name, a CSV file, a folder or options; got {shown(target)}.")
    label = printable(specification.label)
    name = str(options.pop("dataset", "") or specification.label)
    if target:
        check_path("a data set", target)
        name = str(target)
        path = Path(target).expanduser()
        kind = _kind_of_path(path)
        if kind and name not in known_sets():
            options[kind] = path
            label = label or printable(path.resolve().name if kind == "folder" else path.stem)
        label = label or name
    if "split" in options and not {"csv", "folder"} & options.keys():  # as for CSV files; pyiqa calls it phase
        options["phase"] = options.pop("split")
    return _Named(label, name, without_share(options), random_share(options, label))


def _kind_of_path(path: Path) -> str:
    """Return the option that a path stands for: ``'folder'``, also of a pattern, or ``'csv'``; empty if for none."""
    if path.is_dir() or (glob.has_magic(str(path)) and not path.exists()):
        return "folder"
    return "csv" if path.exists() or path.suffix.lower() == ".csv" else ""


def _data_set_of(specification: Specification, data_root: FilePath | None, within: str, needs_images: bool) -> DataSet:
    """Return the data set that a specification names."""
    if isinstance(specification.target, DataSet):
        return specification.target
    named = _named(specification)
    if "csv" in named.options:
        data_set = csv_set(named.label, named.options, within, needs_images)
    elif "folder" in named.options:
        if within:
            raise CLIPIQAError(
                f"{named.label!r} is a folder, without a column of groups: leave out `within`.", options=("within",)
            )
        data_set = folder_set(named.label, named.options)
    else:
        data_set = pyiqa_set(named.label, named.name, named.options, data_root, within)
    return named.share.of(data_set) if named.share else data_set
