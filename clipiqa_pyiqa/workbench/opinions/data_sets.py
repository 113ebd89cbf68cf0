"""Data sets to compare on: pyiqa's, CSV files and folders without scores."""

import glob
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...checks import FilePath, check_path
from ...errors import CLIPIQAError
from ...files.hashes import hash_file
from ...files.printable import printable
from ...text import counted, shown, twice_in
from ..files.specifications import Settings, Specification, check_kinds, parse_specifications
from ..images.image import File
from ..sources.finding import find_inputs
from .data_set import DataSet, identity_of
from .published import ALL_IMAGES
from .published_sets import published_set
from .pyiqa_sets import known_sets, locate, usual_settings
from .random_share import RandomShare, random_share, without_share
from .splits import SPLITS
from .table_file import OpinionFile, read_opinions

_PATH = str | Path
_CSV = {"csv": _PATH, "root": _PATH, "columns": list | tuple, "lower_better": bool, "split": str}
_FOLDER = {"folder": _PATH}


def parse_data_sets(
    data_sets: Any, data_root: FilePath | None = None, within: str = "", needs_images: bool = True
) -> list[DataSet]:
    """Return the data sets that a user names; no image is read.

    Args:
        data_sets: A data set's name in pyiqa, a CSV file or a folder, each also with options (``'spaq:split=test'``); a
            mapping from label to one of these, to options or to None (the label is the name); a :class:`DataSet`;
            or a list of these.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
        needs_images: Whether one of the images in a CSV file must exist.
    """
    specifications = parse_specifications(data_sets, "data set")
    parsed = [_data_set_of(specification, data_root, within, needs_images) for specification in specifications]
    if name := twice_in(data_set.name for data_set in parsed):
        raise CLIPIQAError(f"two data sets are called {name!r}: give one a label, as in 'mine={name}'.")
    return parsed


def check_data_sets(data_sets: Any, data_root: FilePath | None = None) -> None:
    """Raise ``CLIPIQAError`` if a data set is not known, or its files are missing; PyTorch is not loaded."""
    for specification in parse_specifications(data_sets, "data set"):
        if isinstance(specification.target, DataSet):
            continue
        named = _named(specification)
        if "csv" in named.options:
            if not Path(named.options["csv"]).expanduser().exists():
                raise CLIPIQAError(f"{str(named.options['csv'])!r} does not exist.")
        elif "folder" not in named.options:
            locate(named.name, data_root, named.options, named.label)


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
        is_folder = path.is_dir() or (glob.has_magic(name) and not path.exists())
        is_path = is_folder or path.exists() or path.suffix.lower() == ".csv"
        if is_path and name not in known_sets():
            options["folder" if is_folder else "csv"] = path
            label = label or printable(path.resolve().name if is_folder else path.stem)
        label = label or name
    if "split" in options and not {"csv", "folder"} & options.keys():  # as for CSV files; pyiqa calls it phase
        options["phase"] = options.pop("split")
    return _Named(label, name, without_share(options), random_share(options, label))


def _data_set_of(specification: Specification, data_root: FilePath | None, within: str, needs_images: bool) -> DataSet:
    """Return the data set that a specification names."""
    if isinstance(specification.target, DataSet):
        return specification.target
    named = _named(specification)
    if "csv" in named.options:
        data_set = _csv_set(named.label, named.options, within, needs_images)
    elif "folder" in named.options:
        if within:
            raise CLIPIQAError(
                f"{named.label!r} is a folder, without a column of groups: leave out `{{within}}`.", options=("within",)
            )
        data_set = _folder_set(named.label, named.options)
    else:
        data_set = _pyiqa_set(named.label, named.name, named.options, data_root, within)
    return named.share.of(data_set) if named.share else data_set


def _csv_set(label: str, options: Settings, within: str, needs_images: bool) -> DataSet:
    """Return the data set in a CSV file."""
    check_kinds(options, _CSV, f"data set {label!r}")
    columns = tuple(options.get("columns") or (None, None))
    split = options.get("split")
    if len(columns) not in (2, 3):
        raise CLIPIQAError(f"columns of data set {label!r} must be of paths, scores and splits; got {columns!r}.")
    if split not in (None, *SPLITS):
        raise CLIPIQAError(f"split of data set {label!r} must be one of {', '.join(SPLITS)}; got {split!r}.")
    table = os.path.abspath(Path(options["csv"]).expanduser())
    root = options.get("root")
    image_column, score_column, split_column = (*columns, "split")[:3]
    file = OpinionFile(
        options["csv"],
        root=root,
        columns=(image_column, score_column),
        lower_better=options.get("lower_better"),
        split=split_column,
        has_splits=bool(split),
        group=within or None,
    )
    opinions = read_opinions(file)
    if split:
        opinions = opinions.part(split)
    paths = opinions.paths
    if needs_images and paths and not any(map(os.path.isfile, paths)):
        raise CLIPIQAError(
            f"none of {counted(len(paths), 'image')} named in {str(options['csv'])!r} exists, such as {paths[0]!r}: "
            "pass the folder of the images as {root}=DIR.",
            options=("root",),
        )
    data = DataSet(
        label,
        tuple(map(File, paths)),
        opinions.scores,
        table=table,
        groups=opinions.groups or () if within else (),
        source=_source(table, os.path.dirname(table) if root is None else root),
    )
    return _described(data, [f"split {split}"] if split else [], options)


def _folder_set(label: str, options: Settings) -> DataSet:
    """Return the images of a folder or pattern, without opinions."""
    check_kinds(options, _FOLDER, f"data set {label!r}")
    folder = options["folder"]
    paths = map(os.path.abspath, find_inputs(folder))
    root = printable(os.path.abspath(Path(folder).expanduser()))
    return _described(DataSet(label, tuple(map(File, paths)), None, source={"root": root}), [], options)


def _source(table: str, root: FilePath) -> dict[str, str]:
    """Return the fields of :attr:`DataSet.source`."""
    return {
        "file": printable(os.path.abspath(table)),
        "sha256": hash_file(table),
        "root": printable(os.path.abspath(Path(root).expanduser())),
    }


def _pyiqa_set(label: str, name: str, options: Settings, data_root: FilePath | None, within: str) -> DataSet:
    """Return a data set of pyiqa's, or one with options like pyiqa's."""
    located = locate(name, data_root, options, label)
    settings = located.settings
    opinions = located.opinions(within)
    part = ALL_IMAGES
    note = []
    if settings.get("split_index") is not None:
        part = f"{settings['phase']} part of {settings['split_index']}"
        note.append(part)
    note += [f"{key.replace('_', ' ')} {value}" for key, value in (settings.get("augment") or {}).items()]
    data_set = DataSet(
        label,
        located.images(opinions),
        opinions.scores,
        published_as=published_set(name, settings, usual_settings(name, label)) if name in known_sets() else "",
        table=settings["meta_info_file"],
        groups=opinions.groups or () if within else (),
        source=_source(settings["meta_info_file"], settings["dataroot_target"]),
        part=part,
    )
    # when pyiqa normalises DMOS, it also reverses the scale: high is good
    is_lower_better = settings.get("lower_better") and not settings.get("mos_normalize")
    return _described(data_set, note, {**settings, "lower_better": is_lower_better})


def _described(data: DataSet, note: list[str], options: Settings) -> DataSet:
    """Return a data set with note, direction and identity. Raises ``CLIPIQAError`` without images, or for one twice."""
    if not data.paths:
        raise CLIPIQAError(f"data set {data.name!r} has no images.")
    if path := twice_in(data.paths):
        raise CLIPIQAError(f"data set {data.name!r} names an image more than once, such as {path!r}.")
    lower_better = bool(options.get("lower_better"))
    notes = [counted(len(data.paths), "image"), *note]
    if lower_better:
        notes.append("lower opinion score is better")
    return replace(
        data,
        lower_better=lower_better,
        note="; ".join(notes),
        identity=identity_of(options),
    )
