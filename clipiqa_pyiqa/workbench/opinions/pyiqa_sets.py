"""Data sets of pyiqa: their opinions, as their tables mean them, and their images, some of which pyiqa changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...machine import import_pyiqa
from ...text import reason_of
from ..files.specifications import Settings
from ..images.image import File
from ..images.reading_errors import whole_files
from .pyiqa_settings import PATH_OPTIONS, known_sets, located_settings
from .splits import SPLITS, SplitColumn
from .table_file import OpinionFile, Opinions, read_opinions

_WITH_REFERENCES = "GeneralFRDataset"
_LIVE_IN_THE_WILD = "LIVEChallengeDataset"
_AVA = "AVADataset"
_READ_HERE = ("GeneralNRDataset", _WITH_REFERENCES, _LIVE_IN_THE_WILD, _AVA)
_TEXTS = SplitColumn(is_exact=True)
_AVA_NUMBERS = SplitColumn({"0": "train", "1": "val", "2": "test"}, is_exact=True, validation_images=2000)


@dataclass(frozen=True)
class PyiqaSet:
    """A data set in pyiqa's form.

    Attributes:
        label: Its name in messages.
        settings: Options as in pyiqa's ``default_dataset_configs.yml``, with the paths on this machine.
    """

    label: str
    settings: Settings

    @property
    def file(self) -> OpinionFile:
        """Return the table of opinions, with columns and splits as pyiqa reads them."""
        kind = self.settings["type"]
        has_references = kind == _WITH_REFERENCES
        image_column = 1 if has_references else 0
        split_index = self.settings.get("split_index")
        return OpinionFile(
            self.settings["meta_info_file"],
            root=self.settings["dataroot_target"],
            columns=(image_column, image_column + 1),
            lower_better=bool(self.settings.get("lower_better")),
            split=_split_name(split_index),
            has_splits=split_index is not None,
            group=0 if has_references else None,
            first_row=7 if kind == _LIVE_IN_THE_WILD else 0,  # the first images trained the people who rated
            split_column=_AVA_NUMBERS if kind == _AVA else _TEXTS,
        )

    def opinions(self, within: str = "") -> Opinions:
        """Return the opinions on the images of the phase, with the groups in the column ``within`` if one is named.

        They are normalised if the settings say so: then high is good.
        """
        if self.settings["type"] in _READ_HERE:
            phase = self.settings["phase"]
            if phase not in SPLITS:
                raise CLIPIQAError(
                    f"phase of data set {self.label!r} must be one of {', '.join(SPLITS)}; got {phase!r}."
                )
            file = replace(self.file, group=within or None, has_groups=bool(within), group_option="within")
            opinions = read_opinions(file).part(phase)
            return replace(opinions, scores=self._normalised(opinions.scores))
        if within:
            raise CLIPIQAError(
                f"data set {self.label!r} is of a type of its own, so it has no groups: unset `within`.",
                options=("within",),
            )
        rows = self._pyiqa_data_set.paths_mos
        return Opinions(self._pyiqas_paths, tuple(float(row[self._image_column + 1]) for row in rows))

    def images(self, opinions: Opinions) -> tuple[File, ...]:
        """Return the images of these opinions, changed by pyiqa if the settings say so."""
        if self.settings["type"] in _READ_HERE and not self.settings.get("augment"):
            return tuple(map(File, opinions.paths))
        from .pyiqa_images import PyiqaImage  # imports torch

        places = {path: place for place, path in enumerate(self._pyiqas_paths)}
        return tuple(PyiqaImage(path, self._pyiqa_data_set, places[path]) for path in opinions.paths)

    def _normalised(self, scores: Sequence[float]) -> tuple[float, ...]:
        """Return scores in [0, 1], high is good, if the settings ask for it; else the scores as they are."""
        if not self.settings.get("mos_normalize"):
            return tuple(scores)
        if self.settings.get("mos_range") is None or self.settings.get("lower_better") is None:
            raise CLIPIQAError(
                f"mos_normalize of data set {self.label!r} needs mos_range and lower_better.",
                options=("lower_better",),
            )
        low, high = self.settings["mos_range"]
        shares = [(score - low) / (high - low) for score in scores]
        return tuple(1 - share if self.settings["lower_better"] else share for share in shares)

    @cached_property
    def _pyiqa_data_set(self) -> Any:
        """Return pyiqa's own object. Raises ``CLIPIQAError`` if pyiqa cannot make it."""
        try:
            with whole_files():  # pyiqa changes PIL's setting
                return import_pyiqa(".data").build_dataset(dict(self.settings))
        except Exception as error:  # pyiqa raises many types for a bad table or option
            raise CLIPIQAError(f"pyiqa cannot build data set {self.label!r}: {reason_of(error)}.") from error

    @property
    def _image_column(self) -> int:
        """Return the place of images in the rows of pyiqa's object."""
        return 1 if hasattr(self._pyiqa_data_set, "paired_trans") else 0  # a reference comes first

    @cached_property
    def _pyiqas_paths(self) -> tuple[str, ...]:
        """Return the images of pyiqa's object, as absolute paths."""
        folder = getattr(self._pyiqa_data_set, "dataroot", "")  # AVA's table has file names without folders
        column = self._image_column
        return tuple(os.path.abspath(os.path.join(folder, row[column])) for row in self._pyiqa_data_set.paths_mos)


def _split_name(split_index: Any) -> str | None:
    """Return the name of pyiqa's column of splits; ``split_index`` is its name or number, or None."""
    if isinstance(split_index, int):
        return f"ratio802_seed123_split_{split_index:02d}"
    return split_index


def locate(
    name: str,
    data_root: FilePath | None = None,
    options: Settings | None = None,
    label: str = "",
    needs_root: bool = True,
) -> PyiqaSet:
    """Return a data set of pyiqa's, or one of the user's with such options; no file is read.

    Args:
        name: A name that pyiqa knows, or any other if the options have a ``type``.
        data_root: Folder that replaces ``./datasets`` in pyiqa's paths.
        options: Options that differ from pyiqa's.
        needs_root: Whether the folder of the images must exist, too.

    Raises:
        CLIPIQAError: There is no such data set, its files are missing, or it has no score for each image.
    """
    label = label or name
    settings = located_settings(name, options or {}, label, data_root or "datasets")
    needed = PATH_OPTIONS[:2] if needs_root else PATH_OPTIONS[:1]
    missing = [f"{key} {settings.get(key)!r}" for key in needed if not os.path.exists(settings.get(key) or "")]
    if missing:
        download = (
            f", or download both with `pyiqa.load_dataset({name!r}, data_root=DIR)`" if name in known_sets() else ""
        )
        raise CLIPIQAError(
            f"data set {label!r} needs {' and '.join(missing)}, but there is no such path: correct it or "
            f"data_root{download}.",
            options=("data_root",),
        )
    return PyiqaSet(label, settings)
