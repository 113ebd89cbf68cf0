"""Thumbnails of photos, in a hidden folder beside the page that shows them."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...files import replacing
from ..images.image import File, Image
from ..images.prefetch import prefetch
from ..names.members import file_of
from ..names.named_images import images_named
from ..options import AnySize
from ..progress import Progress
from ..report.thumbnail import thumbnail

_FOLDER = ".thumbnails"  # hidden: no command takes thumbnails for photos
_SIDE = 220  # pixels


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of photos.

    Attributes:
        paths: The photos.
        page_folder: The folder of the page that shows them.
    """

    paths: Sequence[str]
    page_folder: Path

    @cached_property
    def _links(self) -> dict[str, str]:
        """Photo -> link to its thumbnail, which is another one when the photo changes; empty if there is no photo."""
        return {path: _link(path) for path in self.paths}

    def link(self, path: str) -> str:
        """Return the page's link to a photo's thumbnail; empty if there is none."""
        link = self._links[path]
        return link if link and (self.page_folder / link).exists() else ""

    def missing(self) -> list[str]:
        """Return the photos without a thumbnail."""
        return [path for path in self.paths if not self.link(path)]

    def make_missing(self, workers: int | None, progress: Progress) -> None:
        """Write the missing thumbnails of photos that can be read."""
        to_make = [path for path in self.missing() if self._links[path]]

        def make(image: Image) -> None:
            picture = image.load(AnySize()).picture
            place = self.page_folder / self._links[image.name]
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                thumbnail(picture, _SIDE).save(partial, "JPEG", quality=72)

        total = len(self.paths)
        done = total - len(to_make)
        progress(done, total)
        with contextlib.closing(prefetch(make, images_named(to_make), workers)) as thumbnails:
            for number, _ in enumerate(thumbnails, done + 1):
                progress(number, total)


def _link(path: str) -> str:
    file = file_of(path)
    if not file:
        return ""
    identity = f"{os.path.abspath(path)}\0{File(file).stamp()}"
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()
    return f"{_FOLDER}/{digest[:2]}/{digest[2:22]}.jpg"
