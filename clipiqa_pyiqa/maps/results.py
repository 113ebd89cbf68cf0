"""Maps of photos as a result: what is known of each, and how it is kept as pictures, numbers and one page."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..files.names import file_name, free_name, printable
from ..files.writing import check_folder, replacing, write_bytes, write_text
from ..prompts.pairs import PromptPair
from .places import map_statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
PAGE = "maps.html"


@dataclass(frozen=True)
class Question:
    """What is asked of every place.

    Attributes:
        name: of its column.
        low, high: what places resemble at the two ends of the scale, such as ``'Blurry photo.'``.
    """

    name: str
    low: str = "low"
    high: str = "high"

    @classmethod
    def of(cls, name: str, pairs: Sequence[PromptPair]) -> Question:
        """A column of one pair has its words at the ends, a mean of several has none."""
        return cls(name, pairs[0].negative, pairs[0].positive) if len(pairs) == 1 else cls(name)


@dataclass(frozen=True)
class PhotoMap:
    """The local scores of one photo.

    Attributes:
        path: of the photo.
        questions: what was asked, in the order of the first axis below.
        score: the whole photo's scores, ``(P,)``.
        scores: its maps as they are shown, ``(P, h, w)``.
        places: its maps before smoothing, likewise.
        height, width: of the photo as it was mapped, in pixels.
        offset, step: from its upper left corner to that of the first place, and from each place to the next, in pixels.
    """

    path: str
    questions: tuple[Question, ...]
    score: NDArray[np.float32]
    scores: NDArray[np.float32]
    places: NDArray[np.float32]
    height: int
    width: int
    offset: float
    step: float

    @property
    def statistics(self) -> NDArray[np.float32]:
        """``(P, 3)``: lowest place, 10th percentile, share of places below 0.5, of the map as it is shown."""
        return map_statistics(torch.from_numpy(self.scores)[None])[0].numpy()

    def arrays(self, provenance: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """What its ``.npz`` file holds, by key: see ``docs/maps.md``."""
        rows, columns = (self.offset + self.step * (np.arange(count) + 0.5) for count in self.scores.shape[1:])
        return {
            "questions": np.array([question.name for question in self.questions]),
            "score": self.score,
            "scores": self.scores,
            "places": self.places,
            "rows": rows,
            "columns": columns,
            "step": np.array(self.step),
            "size": np.array([self.height, self.width]),
            "path": np.array(printable(self.path)),
            "provenance": np.array(json.dumps(dict(provenance), ensure_ascii=False)),
        }


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        maps: one for each photo, in their order.
        failed: photos that have none -> why, as a sentence.
        provenance: which CLIP-IQA, and everything else that the maps depend on.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def figure(self, one: PhotoMap) -> Figure:
        """The picture of one photo's maps."""
        from .picture import map_figure

        return map_figure(one, self.provenance)

    def page(self) -> str:
        """All maps as one HTML page that needs nothing else."""
        from .page import map_page

        return map_page(self)

    def save(
        self, folder: str | os.PathLike[str], format: Format = "png", html: bool = False, overwrite: bool = False
    ) -> None:
        """Write a picture and a ``.npz`` of every photo, and the page if asked for; makes the folder.

        Raises:
            CLIPIQAError: The folder cannot be written, or holds such files already and ``overwrite`` is not given.
        """
        output = MapFolder(folder, [one.path for one in self.maps], format, html, overwrite)
        for one in self.maps:
            output.write(self, one)
        output.finish(self)


class MapFolder:
    """The folder for pictures, numbers and the page; made and looked through before any work."""

    def __init__(
        self, folder: str | os.PathLike[str], paths: Iterable[str], format: Format, html: bool, overwrite: bool
    ) -> None:
        self.format, self.html, taken = format, html, {"maps"}
        paths = list(paths)
        self.names = {path: free_name(file_name(printable(Path(path).stem)), taken) for path in paths}
        names = [f"{name}.{suffix}" for name in self.names.values() for suffix in (format, "npz")]
        self.path = check_folder(folder, [*names, *[PAGE] * html], overwrite=overwrite, inputs=paths)

    def write(self, found: PhotoMaps, one: PhotoMap) -> None:
        from .picture import save_figure

        name, buffer = self.names[one.path], io.BytesIO()
        arrays: dict[str, Any] = one.arrays(found.provenance)
        np.savez_compressed(buffer, **arrays)
        with replacing(self.path / f"{name}.{self.format}") as partial_file:
            save_figure(found.figure(one), partial_file, self.format)
        write_bytes(self.path / f"{name}.npz", buffer.getvalue())

    def finish(self, found: PhotoMaps) -> None:
        if self.html and found.maps:
            write_text(self.path / PAGE, found.page())
