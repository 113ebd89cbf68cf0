"""Data sets made of their sources: a CSV file of opinions, a folder, or settings like pyiqa's."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...files import hash_file
from ...text import counted, twice_in
from ..files.shown_paths import full_path
from ..files.specifications import Settings, check_kinds
from ..images.image import File
from ..sources.finding import find_inputs
from .data_set import DataSet, identity_of
from .published import ALL_IMAGES
from .published_sets import published_set
from .pyiqa_sets import locate
from .pyiqa_settings import known_sets, usual_settings
from .splits import SPLITS
from .table_file import Column, OpinionFile, read_opinions

_PATH = str | Path
_OPTIONS_OF_CSV = {"csv": _PATH, "root": _PATH, "columns": list | tuple, "lower_better": bool, "split": str}
_OPTIONS_OF_FOLDER = {"folder": _PATH}


def csv_set(label: str, options: Settings, within: str, needs_images: bool) -> DataSet:
    """Return the data set in a CSV file; arguments as in :func:`.parse_data_sets`."""
    _check_csv_options(label, options)
    split = options.get("split")
    opinions = read_opinions(_opinion_file(options, within))
    if split:
        opinions = opinions.part(split)
    paths = opinions.paths
    if needs_images and paths and not any(map(os.path.isfile, paths)):
        raise CLIPIQAError(
            f"none of {counted(len(paths), 'image')} named in {str(options['csv'])!r} exists, such as {paths[0]!r}: "
            "pass the folder of the images as root=DIR.",
            options=("root",),
        )
    table = os.path.abspath(Path(options["csv"]).expanduser())
    root = os.path.dirname(table) if options.get("root") is None else options["root"]
    data_set = DataSet(
        label,
        tuple(map(File, paths)),
        opinions.scores,
        table=table,
        groups=opinions.groups or (),
        source=_source(table, root),
        notes_on_columns=opinions.notes_on_columns,
    )
    return _completed(data_set, [f"split {split}"] if split else [], options)


def _check_csv_options(label: str, options: Settings) -> None:
    """Raise ``CLIPIQAError`` for options that a data set in a CSV file does not have."""
    check_kinds(options, _OPTIONS_OF_CSV, f"data set {label!r}")
    columns = options.get("columns")
    if columns and len(columns) not in (2, 3):
        raise CLIPIQAError(
            f"columns of data set {label!r} must be two or three: of paths, scores, and perhaps splits; got "
            f"{tuple(columns)!r}."
        )
    split = options.get("split")
    if split not in (None, *SPLITS):
        raise CLIPIQAError(f"split of data set {label!r} must be one of {', '.join(SPLITS)}; got {split!r}.")


def _opinion_file(options: Settings, within: str) -> OpinionFile:
    """Return the file that the options of a data set name, with the groups in the column ``within``."""
    columns: Sequence[Column] = options.get("columns") or (None, None)
    return OpinionFile(
        options["csv"],
        root=options.get("root"),
        columns=(columns[0], columns[1]),
        lower_better=options.get("lower_better"),
        split=columns[2] if len(columns) > 2 else "split",
        has_splits=bool(options.get("split")),
        group=within or None,
        has_groups=bool(within),
        group_option="within",
    )


def folder_set(label: str, options: Settings) -> DataSet:
    """Return the images of a folder or pattern, without opinions."""
    check_kinds(options, _OPTIONS_OF_FOLDER, f"data set {label!r}")
    folder = options["folder"]
    images = tuple(File(os.path.abspath(path)) for path in find_inputs(folder))
    return _completed(DataSet(label, images, None, source={"root": full_path(folder)}), [], options)


def pyiqa_set(label: str, name: str, options: Settings, data_root: FilePath | None, within: str) -> DataSet:
    """Return a data set of pyiqa's, or one with options like pyiqa's; arguments as in :func:`.parse_data_sets`."""
    located = locate(name, data_root, options, label)
    settings = located.settings
    opinions = located.opinions(within)
    part = ALL_IMAGES
    notes = []
    if settings.get("split_index") is not None:
        part = f"{settings['phase']} part of {settings['split_index']}"
        notes.append(part)
    notes += [f"{key.replace('_', ' ')} {value}" for key, value in (settings.get("augment") or {}).items()]
    data_set = DataSet(
        label,
        located.images(opinions),
        opinions.scores,
        published_as=published_set(name, settings, usual_settings(name, label)) if name in known_sets() else "",
        table=settings["meta_info_file"],
        groups=opinions.groups or (),
        source=_source(settings["meta_info_file"], settings["dataroot_target"]),
        part=part,
        notes_on_columns=opinions.notes_on_columns,
    )
    # when pyiqa normalises DMOS, it also reverses the scale: high is good
    is_lower_better = settings.get("lower_better") and not settings.get("mos_normalize")
    return _completed(data_set, notes, {**settings, "lower_better": is_lower_better})


def _source(table: FilePath, root: FilePath) -> dict[str, str]:
    """Return the fields of :attr:`DataSet.source`."""
    return {"file": full_path(table), "sha256": hash_file(table), "root": full_path(root)}


def _completed(data_set: DataSet, notes: Sequence[str], options: Settings) -> DataSet:
    """Return a data set with its note, and with the direction and the identity that its options tell.

    Raises ``CLIPIQAError`` without images, or if an image is named twice.
    """
    paths = data_set.paths
    if not paths:
        raise CLIPIQAError(f"data set {data_set.name!r} has no images.")
    if path := twice_in(paths):
        raise CLIPIQAError(f"data set {data_set.name!r} names an image more than once, such as {path!r}.")
    is_lower_better = bool(options.get("lower_better"))
    notes = [counted(len(paths), "image"), *notes]
    if is_lower_better:
        notes.append("lower opinion score is better")
    return replace(data_set, lower_better=is_lower_better, note="; ".join(notes), identity=identity_of(options))
