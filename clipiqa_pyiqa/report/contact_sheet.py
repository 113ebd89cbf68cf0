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
    """A grid of images, row by row, with the caption of each below it.

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
    if len(images) != len(captions):
        raise CLIPIQAError(f"A contact sheet needs one caption per image, but got {len(captions)} for {len(images)}.")
    if not images:
        raise CLIPIQAError("A contact sheet needs at least one image, but got none.")
    if columns < 1 or side < 1:
        raise CLIPIQAError(f"columns and side must be positive, but are {columns} and {side}.")
    gap, size = max(side // 16, 4), max(side // 18, 12)
    font, line = _font(size), round(size * 1.35)
    columns = min(columns, len(images))
    tiles = [_tile(image, side, font, apply_exif) for image in images]
    texts = [_shortened(caption, side, font) for caption in captions]
    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    heights = [
        (max(tiles[i].height for i in row), line * max(len(texts[i]) for i in row) + (gap // 2 if line else 0))
        for row in rows
    ]
    sheet = Image.new("RGB", (gap + columns * (side + gap), gap + sum(sum(height) + gap for height in heights)), PAPER)
    draw, top = ImageDraw.Draw(sheet), gap
    for row, (picture, text) in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = gap + column * (side + gap)
            sheet.paste(tiles[i], (left, top + picture - tiles[i].height))
            for number, words in enumerate(texts[i]):
                draw.text((left, top + picture + gap // 2 + number * line), words, INK, font)
        top += picture + text + gap
    return sheet


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    """The whole image as 'RGB', shrunk (Lanczos, keeping its shape) into ``side`` × ``side`` pixels, never enlarged.

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


def _tile(image: Path | str | Image.Image, side: int, font: ImageFont.FreeTypeFont, apply_exif: bool) -> Image.Image:
    try:
        return thumbnail(image, side, apply_exif)
    except ImageError:
        tile = Image.new("RGB", (side, max(side * 3 // 4, 1)), FAINT)
        ImageDraw.Draw(tile).text((side // 2, tile.height // 2), "cannot be read", INK, font, anchor="mm")
        return tile


def fitted(text: str, width: float, size: int) -> str:
    """A text that is no wider than ``width`` in letters of ``size`` (any unit), its middle left out if need be."""
    return _fit(" ".join(printable(text).split()), int(width), _font(size))


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """A text on up to that many lines of ``width`` letters."""
    found = textwrap.wrap(text, width, break_on_hyphens=False) or [text]
    return "\n".join([*found[: lines - 1], found[lines - 1][: width - 1] + _ELLIPSIS] if len(found) > lines else found)


def _shortened(caption: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    return [_fit(" ".join(line.split()), width, font) for line in printable(caption).split("\n")] if caption else []


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """The longest form of the text that is no wider than ``width`` pixels: whole, or with its middle left out."""
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
    """A sheet with a small line below it."""
    size = 13
    font = _font(size)
    lines = textwrap.wrap(printable(text), max(10, int((sheet.width - 32) / (0.6 * size)))) or [""]
    whole = Image.new("RGB", (sheet.width, sheet.height + 4 + round(1.4 * size) * len(lines)), PAPER)
    whole.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        shown = _fit(line, sheet.width - 32, font)
        draw.text((16, sheet.height + round(1.4 * size) * number), shown, (107, 114, 128), font)
    return whole


def headed(sheets: Mapping[str, Image.Image]) -> Image.Image:
    """Sheets below each other, each under its heading, as one picture."""
    if not sheets:
        raise CLIPIQAError("A sheet with headings needs at least one sheet, but got none.")
    width = max(sheet.width for sheet in sheets.values())
    font, band = _font(20), 48
    whole = Image.new("RGB", (width, sum(band + sheet.height for sheet in sheets.values())), PAPER)
    draw, top = ImageDraw.Draw(whole), 0
    for heading, sheet in sheets.items():
        draw.text((16, top + 30), _fit(heading, width - 32, font), INK, font, anchor="lm")
        whole.paste(sheet, (0, top + band))
        top += band + sheet.height
    return whole
