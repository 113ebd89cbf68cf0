"""A web page of ranked photos: thumbnails with scores, a threshold to move, and a list of paths to copy."""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import CLIPIQAError
from ...files.printable import printable
from ...files.writing import replacing, write_text
from ...text import counted
from ..files.folders import make_folder
from ..images.image import File, Image
from ..images.prefetch import prefetch
from ..names.members import file_of
from ..names.named_images import images_named
from ..options import AnySize, Progress, silent
from ..report.html import render
from ..report.thumbnail import thumbnail
from ..results.record_text import metric_line
from .photos import Photos

PAGE = "ranking.html"
THUMBNAILS = ".thumbnails"  # a hidden folder: no command takes thumbnails for photos
SIDE = 220  # pixels
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
        return [path for path in self.paths if not self._has_thumbnail(path)]

    @cached_property
    def paths(self) -> list[str]:
        return list(map(self.photos.path, self.names))

    def write(self, *, overwrite: bool = False, workers: int | None = None, progress: Progress = silent) -> None:
        """Write the page and the thumbnails that it lacks; another page of ours is replaced."""
        make_folder(self.folder)
        is_ours = self.file.is_file() and _MARK in self.file.read_bytes()
        make_folder(self.folder, [PAGE], overwrite=overwrite or is_ours)
        if not any(map(file_of, self.paths)):
            raise CLIPIQAError(
                f"none of {counted(len(self.paths), 'photo')} exists, such as {self.paths[0]!r}: pass their folder as "
                "`{root}`.",
                options=("root",),
            )
        self._make_thumbnails(workers, progress)
        write_text(self.file, self._text())

    @cached_property
    def _thumbnails(self) -> dict[str, str]:
        """Path -> its thumbnail's name, which changes with the file; empty if the photo does not exist."""
        return {path: _thumbnail_name(path) for path in self.paths}

    def _has_thumbnail(self, path: str) -> bool:
        name = self._thumbnails[path]
        return name != "" and (self.folder / THUMBNAILS / name).exists()

    def _make_thumbnails(self, workers: int | None, progress: Progress) -> None:
        """Write the missing thumbnails of images that can be read."""
        missing = [path for path in self.without_thumbnail if self._thumbnails[path]]

        def make(image: Image) -> None:
            picture = image.load(AnySize()).picture
            place = self.folder / THUMBNAILS / self._thumbnails[image.name]
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                thumbnail(picture, SIDE).save(partial, "JPEG", quality=72)

        done = len(self.paths) - len(missing)
        progress(done, len(self.paths))
        with contextlib.closing(prefetch(make, images_named(missing), workers)) as thumbnails:
            for number, _ in enumerate(thumbnails, done + 1):
                progress(number, len(self.paths))

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
                "photos": [self._entry(*photo) for photo in zip(self.names, self.paths, rows, strict=True)],
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
            "thumbnail": f"{THUMBNAILS}/{self._thumbnails[path]}" if self._has_thumbnail(path) else "",
        }


def _thumbnail_name(path: str) -> str:
    file = file_of(path)
    if not file:
        return ""
    identity = f"{os.path.abspath(path)}\0{File(file).stamp()}"
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()
    return f"{digest[:2]}/{digest[2:22]}.jpg"


def _link(path: str, folder: Path) -> str:
    """Return the address of a file from the page; empty for an image in a shard or a store."""
    if not os.path.isfile(path):
        return ""
    relative = os.path.relpath(os.path.realpath(path), folder)
    return quote(os.fsencode(relative.replace(os.sep, "/")))
