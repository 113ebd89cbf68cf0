"""A web page of ranked photos, with their scores, a threshold to move, and a list of paths to copy."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import CLIPIQAError
from ...files import write_text
from ...text import counted, printable
from ..files.folders import make_folder
from ..names.members import file_of
from ..progress import Progress, silent
from ..report.html import render
from ..results.record_text import metric_line
from .photos import Photos
from .thumbnails import Thumbnails

PAGE = "ranking.html"
_MARK = b'<meta name="generator" content="clipiqa rank">'


@dataclass(frozen=True)
class RankingPage:
    """A page in a folder.

    Attributes:
        names: The photos to show, from the best to the worst; all have a score.
        folder: An absolute path.
        is_best_first: Whether the best photos come first when the page is opened.
    """

    photos: Photos
    names: Sequence[str]
    folder: Path
    is_best_first: bool = False

    @property
    def file(self) -> Path:
        return self.folder / PAGE

    @property
    def without_thumbnail(self) -> list[str]:
        """Return the photos without a thumbnail: after :meth:`write`, those that cannot be read."""
        return self._thumbnails.missing()

    @cached_property
    def paths(self) -> list[str]:
        """Return the paths of the photos, in the order of their names."""
        return list(map(self.photos.path, self.names))

    def write(self, *, overwrite: bool = False, workers: int | None = None, progress: Progress = silent) -> None:
        """Write the page and the thumbnails that it lacks; another page of ours is replaced."""
        make_folder(self.folder)
        is_ours = self.file.is_file() and _MARK in self.file.read_bytes()
        make_folder(self.folder, [PAGE], overwrite=overwrite or is_ours)
        if not any(map(file_of, self.paths)):
            raise CLIPIQAError(
                f"none of {counted(len(self.paths), 'photo')} exists, such as {self.paths[0]!r}: pass their folder as "
                "`root`.",
                options=("root",),
            )
        self._thumbnails.make_missing(workers, progress)
        write_text(self.file, self._text())

    @cached_property
    def _thumbnails(self) -> Thumbnails:
        return Thumbnails(self.paths, self.folder)

    def _text(self) -> str:
        """Return the page."""
        scores = self.photos.scores
        rows = self.photos.rows(self.names).to_dict("records")
        return render(
            __package__,
            "ranking.html.j2",
            title=f"{counted(len(self.names), 'photo')} by {self.photos.by}",
            metric=metric_line(list(scores.columns.values())) or Path(scores.file).name,
            by=self.photos.by,
            direction=self.photos.direction,
            best_first=self.is_best_first,
            unread=counted(len(self.without_thumbnail), "photo") if self.without_thumbnail else "",
            data={
                "lowerIsBetter": self.photos.direction.lower_better,
                "photos": list(map(self._entry, self.names, self.paths, rows)),
            },
        )

    def _entry(self, name: str, path: str, scores: Mapping[Any, float]) -> dict[str, Any]:
        """Return what the page's script knows of a photo."""
        flag = self.photos.scores.flags.get(name, "")
        shown_path = printable(path if "://" in path else os.path.abspath(path))
        others = [f"{column}: {score:.6g}" for column, score in scores.items() if column != self.photos.by]
        return {
            "name": printable(os.path.basename(path.rpartition("::")[2])),
            "path": shown_path,
            "about": "\n".join(filter(None, [shown_path, *others, flag])),
            "flag": flag,
            "score": float(scores[self.photos.by]),
            "link": _link(path, self.folder),
            "thumbnail": self._thumbnails.link(path),
        }


def _link(path: str, folder: Path) -> str:
    """Return the address of a file from the page; empty for an image in a shard or a store."""
    if not os.path.isfile(path):
        return ""
    relative = os.path.relpath(os.path.realpath(path), folder)
    return quote(os.fsencode(relative.replace(os.sep, "/")))
