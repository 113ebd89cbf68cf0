"""Data sets to compare on: pyiqa's, CSV files and folders without scores; and published correlations."""

import glob
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ...checks import FilePath, check_path
from ...errors import CLIPIQAError
from ...files.printable import printable
from ...files.reading import hash_file
from ...pyiqa_package import import_pyiqa
from ...text import counted, nearest, reason, shown, twice_in
from ..files.csv_files import find_column, read_rows
from ..files.named import Settings, Specification, check_kinds, parse_specifications
from ..images.image import File
from ..images.image import Image as AnyImage
from ..images.memory import set_aside
from ..images.reading_errors import named_errors, whole_files
from ..images.record import ImageRecord
from ..images.sizes import shrunk
from ..options import Reading
from ..sources.finding import find_inputs
from .opinion_csv import SPLITS, read_opinions
from .published import PATH_OPTIONS, published_set
from .table_file import pyiqa_path

_PATH = str | Path
_CSV = {"csv": _PATH, "root": _PATH, "columns": list | tuple, "lower_better": bool, "split": str}
_FOLDER = {"folder": _PATH}
_PYIQA = {"augment": Mapping, "lower_better": bool, "mos_normalize": bool, **dict.fromkeys(PATH_OPTIONS, str)}


@dataclass(frozen=True)
class DataSet:
    """Images to be scored, and people's scores.

    Attributes:
        images: Images whose names are absolute paths, each once.
        lower_better: Whether low opinion scores are good (DMOS).
        published_as: Name in ``published_correlations.csv``, or empty.
        table: File of opinions, or empty.
        source: What it was made from: the ``file`` of opinions with its ``sha256``, and the ``root`` of the images.
    """

    name: str
    images: tuple[AnyImage, ...]
    mos: tuple[float, ...] | None
    lower_better: bool = False
    note: str = ""
    published_as: str = ""
    identity: str = ""
    table: str = ""
    groups: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        return tuple(printable(image.name) for image in self.images)


def parse_data_sets(
    given: Any, data_root: FilePath | None = None, within: str = "", needs_images: bool = True
) -> list[DataSet]:
    """Return the data sets that a user names; no image is read.

    Args:
        given: A data set's name in pyiqa, a CSV file or a folder, each also with options (``'spaq:phase=test'``); a
            mapping from label to one of these, to options or to None (the label is the name); a :class:`DataSet`;
            or a list of these.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
        needs_images: Whether one of the images in a CSV file must exist.
    """
    specifications = parse_specifications(given, "data set")
    data_sets = [_find(specification, data_root, within, needs_images) for specification in specifications]
    if name := twice_in(data.name for data in data_sets):
        raise CLIPIQAError(f"two data sets are called {name!r}: give one a label, as in 'mine={name}'.")
    return data_sets


def _find(specification: Specification, data_root: FilePath | None, within: str, needs_images: bool) -> DataSet:
    target = specification.target
    options = dict(specification.options)
    if isinstance(target, DataSet):
        return target
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
        if is_path and name not in import_pyiqa().get_dataset_info():
            options["folder" if is_folder else "csv"] = path
            label = label or printable(path.resolve().name if is_folder else path.stem)
        label = label or name
    if "csv" in options:
        return _csv_set(label, options, within, needs_images)
    if "folder" in options:
        return _folder_set(label, options)
    return _pyiqa_set(label, name, options, data_root, within)


def _csv_set(label: str, options: Settings, within: str, needs_images: bool) -> DataSet:
    check_kinds(options, _CSV, f"data set {label!r}")
    columns = tuple(options.get("columns") or (None, None))
    split = options.get("split")
    if len(columns) not in (2, 3):
        raise CLIPIQAError(f"columns of data set {label!r} must be of paths, scores and splits; got {columns!r}.")
    if split not in (None, *SPLITS):
        raise CLIPIQAError(f"split of data set {label!r} must be one of {', '.join(SPLITS)}; got {split!r}.")
    table = os.path.abspath(Path(options["csv"]).expanduser())
    root = options.get("root")
    frame = read_opinions(
        options["csv"],
        root=root,
        columns=(*columns, "split")[:3],
        lower_better=options.get("lower_better"),
        with_splits=bool(split),
        group=within or None,
    )
    if split:
        frame = frame[frame["split"] == split]
    paths = tuple(frame["path"])
    if needs_images and paths and not any(map(os.path.isfile, paths)):
        raise CLIPIQAError(
            f"none of {counted(len(paths), 'image')} named in {str(options['csv'])!r} exists, such as {paths[0]!r}: "
            "pass the folder of the images as root=DIR."
        )
    data = DataSet(
        label,
        tuple(map(File, paths)),
        tuple(frame["score"]),
        table=table,
        groups=tuple(frame["group"]) if within else (),
        source=_source(table, os.path.dirname(table) if root is None else root),
    )
    return _finish(data, [f"split {split}"] if split else [], options)


def _folder_set(label: str, options: Settings) -> DataSet:
    check_kinds(options, _FOLDER, f"data set {label!r}")
    folder = options["folder"]
    paths = map(os.path.abspath, find_inputs(folder))
    root = printable(os.path.abspath(Path(folder).expanduser()))
    return _finish(DataSet(label, tuple(map(File, paths)), None, source={"root": root}), [], options)


def _source(table: str, root: FilePath) -> dict[str, str]:
    """Return the fields of :attr:`DataSet.source`."""
    return {
        "file": printable(os.path.abspath(table)),
        "sha256": hash_file(table),
        "root": printable(os.path.abspath(Path(root).expanduser())),
    }


def _pyiqa_set(label: str, name: str, options: Settings, data_root: FilePath | None, within: str) -> DataSet:
    known = import_pyiqa().get_dataset_info()
    usual = {"phase": "test", "name": label, **known.get(name, {})}
    used: dict[str, Any] = {**usual, **options}
    _check_pyiqa_options(label, name, used, known)
    _find_roots(label, name, used, data_root, is_known=name in known)
    try:
        with whole_files():  # pyiqa changes PIL's setting
            dataset = import_pyiqa(".data").build_dataset(used)
    except Exception as error:  # pyiqa raises many types for a bad table or option
        raise CLIPIQAError(f"pyiqa cannot build data set {label!r}: {reason(error)}.") from error
    first = int(hasattr(dataset, "paired_trans"))  # the image's place in a row: a reference comes first
    folder = getattr(dataset, "dataroot", "")  # AVA's table has file names without folders
    note = [f"{used['phase']} part of {used['split_index']}"] if used.get("split_index") is not None else []
    note += [f"{key.replace('_', ' ')} {value}" for key, value in (used.get("augment") or {}).items()]
    data_set = DataSet(
        label,
        tuple(
            _PyiqaImage(os.path.abspath(os.path.join(folder, row[first])), dataset, index)
            for index, row in enumerate(dataset.paths_mos)
        ),
        tuple(float(row[first + 1]) for row in dataset.paths_mos),
        published_as=published_set(name, used, usual) if name in known else "",
        table=used["meta_info_file"],
        groups=_groups_within(used["meta_info_file"], within, dataset) if within else (),
        source=_source(used["meta_info_file"], used["dataroot_target"]),
    )
    # when pyiqa normalises DMOS, it also reverses the scale: high is good
    return _finish(data_set, note, {**used, "lower_better": used.get("lower_better") and not used.get("mos_normalize")})


def _groups_within(table: str, within: str, dataset: Any) -> tuple[str, ...]:
    """Return the group of each row, from a column of pyiqa's table."""
    path = Path(table)
    header = read_rows(path)[1]
    column = header.index(find_column(path, header, within, "", option="within"))
    return tuple(str(row[column]) for row in dataset.paths_mos)


def _check_pyiqa_options(label: str, name: str, used: Settings, known: Mapping[str, Any]) -> None:
    """Raise for options that pyiqa's data set does not have, and for judgements of pairs."""
    where = f"data set {label!r}"
    if "type" not in used:
        raise CLIPIQAError(
            f"{name!r} is neither a data set of pyiqa's nor a CSV file nor a folder: {nearest(name, known)} "
            "Options of your own data set need pyiqa's 'type', such as GeneralNRDataset, or 'csv' or 'folder'."
        )
    types = {info["type"] for info in known.values()}  # other types have options of their own
    keys = (key for info in known.values() for key in info) if used["type"] in types else used
    check_kinds(used, {"phase": object, **dict.fromkeys(keys, object), **_PYIQA}, where)
    if used["type"] in ("PieAPPDataset", "BAPPSDataset"):
        raise CLIPIQAError(f"{where} holds judgements of pairs, not a score for each image.")


def _find_roots(label: str, name: str, used: dict[str, Any], data_root: FilePath | None, *, is_known: bool) -> None:
    """Put the folders and tables of a data set below ``data_root``; raise if one is missing."""
    for key in PATH_OPTIONS:
        if used.get(key):
            used[key] = str(pyiqa_path(used[key], data_root or "datasets"))
    if missing := [f"{key} {used.get(key)!r}" for key in PATH_OPTIONS[:2] if not os.path.exists(used.get(key) or "")]:
        way_out = f", or download both with `pyiqa.load_dataset({name!r}, data_root=DIR)`" if is_known else ""
        raise CLIPIQAError(
            f"data set {label!r} needs {' and '.join(missing)}, but there is no such path: correct it or "
            f"data_root{way_out}."
        )


@dataclass(frozen=True)
class _PyiqaImage(File):
    """An image as pyiqa's data set changes it."""

    data: Any
    index: int

    def load(self, reading: Reading) -> ImageRecord:
        with named_errors(self.name), Image.open(self.name) as file:
            set_aside(self.name, file.width, file.height)
            record = ImageRecord.of(self._changed(file))
            return replace(record, pixels=shrunk(record.pixels, reading))

    def _changed(self, file: Image.Image) -> Tensor:
        data = self.data
        if not hasattr(data, "paired_trans"):
            return data[self.index]["img"]
        image = file.convert("RGB")  # as data[index]["img"], without reading the reference
        return data.common_trans(data.paired_trans([image, image])[0])


def _finish(data: DataSet, note: list[str], options: Settings) -> DataSet:
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
        identity=hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:12],
    )
