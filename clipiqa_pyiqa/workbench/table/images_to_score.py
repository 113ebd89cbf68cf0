"""What a table scores: a method's image with its reference, and a method's set of images."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ImageError
from ..images.image import File, Image
from ..images.record import ImageRecord
from ..images.sizes import shrunk
from ..images.stamp import UNKNOWN, Stamp
from ..options import AnySize, Reading
from .prepared_images import fit_sizes, without_alpha


def read_pixels(path: str, is_alpha_dropped: bool) -> Tensor:
    """Return the pixels ``(3, H, W)``, uint8, of an image of any size."""
    pixels = without_alpha(path) if is_alpha_dropped else None
    return File(path).load(AnySize()).pixels if pixels is None else pixels


@dataclass(frozen=True)
class ImageWithReference(Image):
    """An image of a method, with its reference if there is one; the stamp holds both files."""

    name: str
    reference: str
    unequal: str
    is_alpha_dropped: bool
    read_reference: Callable[[str, bool], Tensor] | None

    def stamp(self) -> Stamp:
        stamps = [File(file).stamp() for file in (self.name, self.reference) if file]
        return Stamp(",".join(stamps)) if all(stamp.is_known for stamp in stamps) else UNKNOWN

    def load(self, reading: Reading) -> ImageRecord:
        pixels = read_pixels(self.name, self.is_alpha_dropped)
        if not self.reference or self.read_reference is None:
            return _shrunk_record(pixels, reading)
        try:
            reference = self.read_reference(self.reference, self.is_alpha_dropped)
            pixels, reference = fit_sizes(pixels, reference, self.unequal)
        except ImageError as error:
            return replace(_shrunk_record(pixels, reading), why_no_reference=str(error))
        # of the image's size, so that both shrink alike
        return replace(_shrunk_record(pixels, reading), reference=shrunk(reference, reading))


def _shrunk_record(pixels: Tensor, reading: Reading) -> ImageRecord:
    """Return the record of an image that is shrunk after it was read, with the size that it had before."""
    return replace(ImageRecord.of(pixels), pixels=shrunk(pixels, reading))


@dataclass(frozen=True)
class ImageSet(Image):
    """A method's images of a test set, and perhaps their references.

    It is an image, so that a set is scored and remembered as images are. Metrics of sets read the folders of links; the
    pixels are never looked at.
    """

    name: str
    linked: Sequence[Sequence[str]]
    root: str

    def stamp(self) -> Stamp:
        stamps = ([(os.path.abspath(file), File(file).stamp()) for file in files] for files in self.linked)
        return Stamp(",".join(hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12] for stamp in stamps))

    def load(self, reading: Reading) -> ImageRecord:
        folders = []
        for files in self.linked:
            folders.append(tempfile.mkdtemp(dir=self.root))
            for number, path in enumerate(files):
                Path(folders[-1], f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        return ImageRecord.of(torch.zeros(3, 1, 1, dtype=torch.uint8), folders=folders)


def image_set_of(row: Any, references: Mapping[str, str], root: str) -> ImageSet:
    """Return a method's images of a test set, and their references, as a set whose links lie below a folder."""
    linked = [row.path]
    if references:
        linked.append([references[image] for image in row.image])
    return ImageSet(f"{row.test_set}/{row.method}", linked, root)
