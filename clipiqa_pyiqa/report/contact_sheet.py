"""Sheets of images with captions, and crops where versions of an image differ."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import AnySize, ImageError
from ..files.names import printable
from ..images.image import File

INK, FAINT = (28, 30, 34), (236, 238, 241)
_ELLIPSIS = "…"
_LETTER = 0.6  # width of most letters, as a share of the font's size


def contact_sheet(
    images: Sequence[Path | str | Image.Image],
    captions: Sequence[str],
    *,
    columns: int = 5,
    side: int = 256,
    apply_exif: bool = True,
) -> Image.Image:
    """Return a grid of images with captions, as 'RGB'; an unreadable file becomes a grey field.

    Args:
        captions: One text per image; long lines are shortened in the middle.
        side: Largest width and height of an image in pixels; images are never enlarged.
    """
    gap, size, columns = max(side // 16, 4), max(side // 18, 12), min(columns, len(images))
    tiles = []
    for image in images:
        try:
            tile = thumbnail(image, side, apply_exif)
        except ImageError:
            tile = Image.new("RGB", (side, max(side * 3 // 4, 1)), FAINT)
            ImageDraw.Draw(tile).text((side // 2, tile.height // 2), "cannot be read", INK, _font(size), anchor="mm")
        tiles.append(tile)
    high = max(tile.height for tile in tiles)
    cells = []
    for tile, caption in zip(tiles, captions, strict=True):
        field = Image.new("RGB", (side, high), FAINT)
        field.paste(tile, ((side - tile.width) // 2, (high - tile.height) // 2))
        below = [_paper(1, gap // 2), _text(caption.split("\n"), side, size)] if caption else []
        cells.append(_stacked([field, *below]))
    row = gap + max(cell.height for cell in cells)
    sheet = _paper(gap + columns * (side + gap), row * math.ceil(len(cells) / columns) + gap)
    for number, cell in enumerate(cells):
        sheet.paste(cell, (gap + number % columns * (side + gap), gap + number // columns * row))
    return sheet


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    else:
        picture = File(os.fspath(image)).load(AnySize(apply_exif)).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return picture


def fitted(text: str, width: float, size: int) -> str:
    text, most = " ".join(printable(text).split()), int(width / (_LETTER * size))
    half = max(most - 1, 2) // 2
    return text if len(text) <= most else text[:half] + _ELLIPSIS + text[-half:]


def wrapped(text: str, width: int, lines: int = 3) -> str:
    found = textwrap.wrap(text, width, break_on_hyphens=False, max_lines=lines, placeholder=_ELLIPSIS)
    return "\n".join(found) or text


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # matplotlib's font has letters of many languages, PIL's font has few

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def footed(sheet: Image.Image, text: str) -> Image.Image:
    width, size = sheet.width - 32, 13
    lines = textwrap.wrap(printable(text), max(10, int(width / (_LETTER * size)))) or [""]
    return _stacked([sheet, _text(lines, width, size, left=16, colour=(107, 114, 128)), _paper(1, 4)])


def headed(sheets: Mapping[str, Image.Image]) -> Image.Image:
    width = max(sheet.width for sheet in sheets.values()) - 32
    parts = []
    for heading, sheet in sheets.items():
        parts += [_paper(1, 17), _text([heading], width, 20, left=16), _paper(1, 4), sheet]
    return _stacked(parts)


def _text(
    lines: Sequence[str], width: int, size: int, left: int = 0, colour: tuple[int, int, int] = INK
) -> Image.Image:
    height = round(1.35 * size)
    paper = _paper(left + width, height * len(lines))
    draw = ImageDraw.Draw(paper)
    for number, line in enumerate(lines):
        draw.text((left, height * number), fitted(line, width, size), colour, _font(size))
    return paper


def _paper(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    whole, top = _paper(max(part.width for part in parts), sum(part.height for part in parts)), 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def differing_crops(files: Mapping[str, str], side: int = 176) -> dict[str, Image.Image]:
    """Return each version's crop at the square where the readable versions of one size differ most."""
    from scipy.ndimage import uniform_filter

    pictures, size = {}, None
    for who, path in files.items():
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            size = size or picture.size
            if picture.size == size:
                pictures[who] = picture
    if size is None:
        return {}
    wide, high = (min(side, length) for length in size)
    versions = [np.asarray(picture) for picture in pictures.values()]
    variance = np.var(versions, axis=0, dtype=np.float32).mean(axis=2)
    means = uniform_filter(variance, (high, wide))[high // 2 :, wide // 2 :]  # of the squares around each pixel
    whole = means[: size[1] - high + 1, : size[0] - wide + 1]  # squares that lie inside
    top, left = map(int, np.unravel_index(whole.argmax(), whole.shape))
    return {who: picture.crop((left, top, left + wide, top + high)) for who, picture in pictures.items()}
