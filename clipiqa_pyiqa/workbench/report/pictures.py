"""Pictures: style, colours and captions, sheets of images, and crops where versions of an image differ."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from PIL import Image

from ...checks import FilePath
from ...errors import ImageError
from ...files.printable import plain_lines, printable
from ...files.writing import replacing
from ..images.image import File
from ..options import AnySize

INK, BLUE, ORANGE = "#1c1e22", "#2f6fd0", "#d9730d"
SOFT = "#6b7280"  # readable on white and on black
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "figure.dpi": 150,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "text.usetex": False,
}
COLOURS = (BLUE, ORANGE, "#2a9d6e", "#8a4fbf", "#b0413e", "#0f7f8f", "#a07900", SOFT)
"""Colours for up to eight things in one picture; a colour-blind reader can tell the first two colours apart."""
WORDS: dict[str, Any] = {"parse_math": False}
"""Options for labels and file names, which matplotlib must not read as mathematics."""
FAINT = (236, 238, 241)
_ELLIPSIS = "…"
_LETTER = 0.6  # width of most letters, as a share of the font's size


def captioned(figure: Figure, text: str) -> Figure:
    if text:
        text = textwrap.fill(text, int(figure.get_figwidth() * 72 / 4.2))  # letters of 7 points are 3.9 points wide
        figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=SOFT, parse_math=False)
    return figure


def plain_texts(figure: Figure) -> Figure:
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                axis.set_ticklabels([plain_lines(label.get_text()) for label in axis.get_majorticklabels()])
    for text in figure.findobj(Text):
        text.set_text(plain_lines(text.get_text()))
    return figure


def save_figure(figure: Figure, path: FilePath) -> None:
    """Write a figure in the format of the file's suffix."""
    with replacing(path) as partial:
        plain_texts(figure).savefig(partial)


def contact_sheet(
    groups: Mapping[str, Sequence[tuple[Path | str | Image.Image, str]]],
    note: str = "",
    *,
    columns: int = 5,
    side: int = 256,
    apply_exif: bool = True,
) -> Figure:
    """Return grids of images with captions, below headings; the caption of an unreadable file says so.

    Args:
        groups: Heading -> images with captions, whose long lines are shortened in the middle.
        note: A text at the bottom.
        side: Largest width and height of an image in pixels; images are never enlarged.
    """
    gap, top, fields, texts = max(side // 16, 4), 0, list[Any](), list[Any]()
    width = gap + min(columns, max(map(len, groups.values()))) * (side + gap)

    def write(text: str, size: int, left: int, room: int, colour: str = INK) -> int:
        """Place a text below ``top``; return where it ends."""
        lines = [fitted(line, room, size) for line in text.split("\n")]
        texts.append((left, top + gap // 2, "\n".join(lines), size, colour))
        return top + gap // 2 + round(1.35 * size * len(lines))

    for heading, images in groups.items():
        if images:
            top = write(heading, 20, gap, width - 2 * gap) + gap
        for first in range(0, len(images), columns):
            tiles, below = [], 0
            for image, caption in images[first : first + columns]:
                try:
                    tile = thumbnail(image, side, apply_exif)
                except ImageError:
                    tile, caption = Image.new("RGB", (side, side * 3 // 4), FAINT), f"cannot be read\n{caption}"
                tiles.append((tile, caption))
            high = max(tile.height for tile, _ in tiles)
            top += high
            for left, (tile, caption) in zip(range(gap, width, side + gap), tiles, strict=False):
                field = Image.new("RGB", (side, high), FAINT)
                field.paste(tile, ((side - tile.width) // 2, (high - tile.height) // 2))
                fields.append((np.asarray(field), left, top))
                below = max(below, write(caption, max(side // 18, 12), left, side))
            top = below + gap
    if note:
        top = write(wrapped(note, int(width / (_LETTER * 13))), 13, gap, width, SOFT) + gap
    figure = Figure((width / 100, top / 100), dpi=100)
    for pixels, left, lower in fields:
        figure.figimage(pixels, left, top - lower)
    for left, upper, text, size, colour in texts:
        figure.text(left / width, 1 - upper / top, text, size=0.72 * size, color=colour, va="top", **WORDS)
    return figure


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    else:
        picture = File(os.fspath(image)).load(AnySize(apply_exif=apply_exif)).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return picture


def fitted(text: str, width: float, size: int) -> str:
    text, most = " ".join(printable(text).split()), int(width / (_LETTER * size))
    half = max(most - 1, 2) // 2
    return text if len(text) <= most else text[:half] + _ELLIPSIS + text[-half:]


def wrapped(text: str, width: int, lines: int = 3) -> str:
    found = textwrap.wrap(text, width, break_on_hyphens=False, max_lines=lines, placeholder=_ELLIPSIS)
    return "\n".join(found) or text


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
    variance = np.var([*map(np.asarray, pictures.values())], axis=0, dtype=np.float32).mean(axis=2)
    means = uniform_filter(variance, (high, wide))[high // 2 :, wide // 2 :]  # of the squares around each pixel
    whole = means[: size[1] - high + 1, : size[0] - wide + 1]  # squares that lie inside
    top, left = map(int, np.unravel_index(whole.argmax(), whole.shape))
    return {who: picture.crop((left, top, left + wide, top + high)) for who, picture in pictures.items()}
