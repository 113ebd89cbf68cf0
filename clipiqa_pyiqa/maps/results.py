"""The maps of photos as a result, and the folder with their files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..files.names import file_name, free_name, printable
from ..files.writing import check_folder, replacing, write_text
from .photo_map import PhotoMap

Format = Literal["png", "svg", "pdf"]
PAGE = "maps.html"


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        maps: One per photo, in order.
        failed: Photo without a map -> reason.
        provenance: The metric and the options.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class MapFolder:
    """The folder of results, which is checked before photos are scored."""

    def __init__(
        self, folder: str | os.PathLike[str], paths: Iterable[str], format: Format, html: bool, overwrite: bool
    ) -> None:
        self.format, self.html, taken = format, html, {"maps": 1}
        paths = list(paths)
        self.names = {path: free_name(file_name(printable(Path(path).stem)), taken) for path in paths}
        names = [f"{name}.{suffix}" for name in self.names.values() for suffix in (format, "npz")]
        self.path = check_folder(folder, [*names, *([PAGE] if html else [])], overwrite=overwrite, inputs=paths)

    def write(self, one: PhotoMap) -> None:
        from .page import map_figure

        name = self.names[one.path]
        with replacing(self.path / f"{name}.{self.format}") as partial, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # a missing glyph is shown as a box
            map_figure(one).savefig(partial, dpi=130)
        with replacing(self.path / f"{name}.npz") as partial:
            np.savez_compressed(partial, **one.arrays())

    def finish(self, found: PhotoMaps) -> None:
        if self.html and found.maps:
            from .page import map_page

            write_text(self.path / PAGE, map_page(found.maps, found.failed))
