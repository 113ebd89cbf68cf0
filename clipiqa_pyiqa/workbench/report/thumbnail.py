"""Small copies of images."""

import os
from pathlib import Path

from PIL import Image

from ..images.image import File
from ..options import AnySize


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    """Return a copy of an image whose sides have at most so many pixels, also of a damaged JPEG.

    Raises ``ImageError`` if it is unreadable.
    """
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    else:
        picture = File(os.fspath(image)).load(AnySize(apply_exif=apply_exif, damaged="keep")).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return picture
