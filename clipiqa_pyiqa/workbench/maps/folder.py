"""The files of maps in a folder: for each photo a picture and its numbers, and one page of all."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...checks import FilePath
from ...files import replacing, write_text
from ...text import few, log, printable
from ..files.file_names import file_name, free_names
from ..files.folders import make_folder
from .photo_map import PhotoMap

PAGE = "maps.html"


class MapFolder:
    """A folder that receives the maps of photos.

    Args:
        pictures: Format of pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
        has_page: The page will be written, too.
    """

    def __init__(self, folder: FilePath, photos: Iterable[str], pictures: str, has_page: bool) -> None:
        self.folder = folder
        self.stems = _stems(photos)
        self.picture_format = pictures
        self.has_page = has_page

    def prepare(self, overwrite: bool) -> None:
        """Make the folder; raise for files that must not be replaced, and warn of maps of an earlier run."""
        file_names = [f"{stem}.{suffix}" for stem in self.stems.values() for suffix in (self.picture_format, "npz")]
        if self.has_page:
            file_names.append(PAGE)
        place = make_folder(self.folder, file_names, overwrite=overwrite, inputs=self.stems)
        earlier_stems = {file.stem for file in place.glob("*.npz")} - set(self.stems.values())
        if overwrite and earlier_stems:
            log.warning(f"{self.folder} also holds maps of an earlier run: {few(sorted(earlier_stems))}")

    def write_map(self, photo_map: PhotoMap) -> None:
        """Write the picture and the numbers of a photo."""
        from ..report.pictures import save_figure  # imports matplotlib
        from .pictures import map_figure

        stem = self.stems[photo_map.path]
        save_figure(map_figure(photo_map), Path(self.folder, f"{stem}.{self.picture_format}"))
        _write_numbers(photo_map, Path(self.folder, f"{stem}.npz"))

    def write_page(self, maps: Sequence[PhotoMap], failed: Mapping[str, str]) -> None:
        """Write the page of all maps, and of photos without a map (path -> reason)."""
        from .page import map_page  # imports matplotlib

        write_text(Path(self.folder, PAGE), map_page(maps, failed))


def _stems(photos: Iterable[str]) -> dict[str, str]:
    """Return photo -> name of its files, without a suffix; two photos never have the same."""
    different_photos = list(dict.fromkeys(photos))
    stems = [file_name(printable(Path(photo).stem)) for photo in different_photos]
    return dict(zip(different_photos, free_names(stems, taken=[Path(PAGE).stem]), strict=True))


def _write_numbers(photo_map: PhotoMap, path: Path) -> None:
    with replacing(path) as partial:
        np.savez_compressed(
            partial,
            questions=[question.name for question in photo_map.questions],
            score=photo_map.photo_scores,
            scores=photo_map.shown_scores,
            places=photo_map.place_scores,
            step=photo_map.step,
            size=[photo_map.height, photo_map.width],
            path=printable(photo_map.path),
            provenance=json.dumps(dict(photo_map.provenance), ensure_ascii=False),
        )
