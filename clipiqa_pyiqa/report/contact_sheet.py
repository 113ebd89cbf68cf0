"""Images side by side on one sheet, each with a caption."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..errors import CLIPIQAError, ImageError
from ..files.names import printable
from ..images.reader import read_image

PAPER, INK, FAINT = (255, 255, 255), (28, 30, 34), (236, 238, 241)
_ELLIPSIS = "…"


def contact_sheet(
    images: Sequence[Path | str | Image.Image],
    captions: Sequence[str],
    *,
    columns: int = 5,
    side: int = 256,
    apply_exif: bool = True,
) -> Image.Image:
    """Return a grid of images, row by row, with the caption of each below it.

    Images are shrunk to fit, never enlarged or cropped, since what one sees should be what was scored. A file that
    cannot be read leaves an empty field that says so.

    Args:
        images: Files, or pictures in memory; at least one.
        captions: One text per image; a line break starts a new line, and a line too long for the image's width is
            shortened in its middle, because file names often differ only at their ends.
        columns: Images per row.
        side: Width and height, in pixels, into which each image is fitted.
        apply_exif: Whether files are turned upright; as they were for scoring.

    Returns:
        The sheet, 'RGB'. Its rows are as high as their highest image.

    Raises:
        CLIPIQAError: No images, a number of captions other than of images, or sizes that are not positive.
    """
    if not images or len(images) != len(captions):
        said = f"got {len(captions)} captions for {len(images)} images"
        raise CLIPIQAError(f"A contact sheet needs at least one image and one caption per image; {said}.")
    if columns < 1 or side < 1:
        raise CLIPIQAError(f"columns and side must be at least 1; got {columns} and {side}.")
    gap, size, columns = max(side // 16, 4), max(side // 18, 12), min(columns, len(images))
    tiles = [_tile(image, side, size, apply_exif) for image in images]
    texts = [_text(caption.split("\n") if caption else [], side, size) for caption in captions]
    sheets = []
    for start in range(0, len(images), columns):
        row, words = tiles[start : start + columns], texts[start : start + columns]
        high = max(tile.height for tile in row)
        below = max(text.height for text in words)
        sheet = _paper(gap + columns * (side + gap), gap + high + (gap // 2 if any(captions) else 0) + below)
        for place, (tile, text) in enumerate(zip(row, words, strict=True)):
            left = gap + place * (side + gap)
            sheet.paste(tile, (left, gap + high - tile.height))
            sheet.paste(text, (left, gap + high + gap // 2))
        sheets.append(sheet)
    return _stacked([*sheets, _paper(1, gap)])


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    """Return the whole image as 'RGB', shrunk (Lanczos, keeping its shape) into ``side`` × ``side`` pixels or smaller.

    Raises:
        ImageError: The file cannot be read.
    """
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    else:
        pixels = read_image(os.fspath(image), apply_exif=apply_exif, min_side=1).pixels
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _tile(image: Path | str | Image.Image, side: int, size: int, apply_exif: bool) -> Image.Image:
    try:
        return thumbnail(image, side, apply_exif)
    except ImageError:
        tile = Image.new("RGB", (side, max(side * 3 // 4, 1)), FAINT)
        ImageDraw.Draw(tile).text((side // 2, tile.height // 2), "cannot be read", INK, _font(size), anchor="mm")
        return tile


def fitted(text: str, width: float, size: int) -> str:
    """Return a text no wider than ``width`` in letters of ``size`` (any unit), its middle left out if need be."""
    return _fit(" ".join(printable(text).split()), int(width), _font(size))


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """Return a text on up to that many lines of ``width`` letters."""
    found = textwrap.wrap(text, width, break_on_hyphens=False) or [text]
    return "\n".join([*found[: lines - 1], found[lines - 1][: width - 1] + _ELLIPSIS] if len(found) > lines else found)


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Return the text, or the longest form of it without its middle that is no wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    for kept in range(min(len(text) - 1, width), 0, -1):  # a character is at least a pixel wide
        shorter = text[: kept // 2] + _ELLIPSIS + text[len(text) - math.ceil(kept / 2) :]
        if font.getlength(shorter) <= width:
            return shorter
    return _ELLIPSIS


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib brings it: PIL's own font lacks most letters that are not English."""
    import matplotlib

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def footed(sheet: Image.Image, text: str) -> Image.Image:
    """Return a sheet with a small line below it."""
    width, size = sheet.width - 32, 13
    lines = textwrap.wrap(printable(text), max(10, int(width / (0.6 * size)))) or [""]
    return _stacked([sheet, _text(lines, width, size, left=16, colour=(107, 114, 128)), _paper(1, 4)])


def headed(sheets: Mapping[str, Image.Image]) -> Image.Image:
    """Return sheets below each other, each under its heading, as one picture."""
    if not sheets:
        raise CLIPIQAError("A sheet with headings needs at least one sheet, but got none.")
    width = max(sheet.width for sheet in sheets.values()) - 32
    parts = []
    for heading, sheet in sheets.items():
        parts += [_paper(1, 17), _text([heading], width, 20, left=16), _paper(1, 4), sheet]
    return _stacked(parts)


def _text(
    lines: Sequence[str], width: int, size: int, left: int = 0, colour: tuple[int, int, int] = INK
) -> Image.Image:
    """Return lines of text on paper, each shortened in its middle to the width."""
    height = round(1.35 * size)
    paper = _paper(left + width, height * len(lines))
    draw = ImageDraw.Draw(paper)
    for number, line in enumerate(lines):
        draw.text((left, height * number), fitted(line, width, size), colour, _font(size))
    return paper


def _paper(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    """Return pictures below each other, at the left."""
    whole, top = _paper(max(part.width for part in parts), sum(part.height for part in parts)), 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole
