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
from numpy.typing import NDArray
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
    most_in_a_row = min(columns, max(map(len, groups.values())))
    sheet = _Sheet(side, most_in_a_row)
    for heading, images in groups.items():
        if images:
            sheet.add_heading(heading)
        for first in range(0, len(images), columns):
            row = images[first : first + columns]
            sheet.add_row([_tile(image, caption, side, apply_exif) for image, caption in row])
    if note:
        sheet.add_note(note)
    return sheet.figure()


def _tile(image: Path | str | Image.Image, caption: str, side: int, apply_exif: bool) -> tuple[Image.Image, str]:
    """Return a thumbnail and its caption; for an unreadable file a grey area, and a caption that says so."""
    try:
        return thumbnail(image, side, apply_exif), caption
    except ImageError:
        return Image.new("RGB", (side, side * 3 // 4), FAINT), f"cannot be read\n{caption}"


class _Sheet:
    """A sheet that grows downwards: what was placed so far, in pixels from the upper left corner."""

    def __init__(self, side: int, most_in_a_row: int) -> None:
        self.side = side
        self.gap = max(side // 16, 4)
        self.width = self.gap + most_in_a_row * (side + self.gap)
        self.height = 0
        self._fields = list[tuple[NDArray[np.uint8], int, int]]()  # pixels, left, lower edge
        self._texts = list[tuple[int, int, str, int, str]]()  # left, upper edge, text, size, colour

    def add_heading(self, heading: str) -> None:
        self.height = self._place(heading, 20, self.gap, self.width - 2 * self.gap) + self.gap

    def add_row(self, tiles: Sequence[tuple[Image.Image, str]]) -> None:
        """Add thumbnails side by side, with their captions below."""
        row_height = max(tile.height for tile, _ in tiles)
        self.height += row_height
        lowest = 0
        for left, (tile, caption) in zip(range(self.gap, self.width, self.side + self.gap), tiles, strict=False):
            field = Image.new("RGB", (self.side, row_height), FAINT)
            field.paste(tile, ((self.side - tile.width) // 2, (row_height - tile.height) // 2))
            self._fields.append((np.asarray(field), left, self.height))
            lowest = max(lowest, self._place(caption, max(self.side // 18, 12), left, self.side))
        self.height = lowest + self.gap

    def add_note(self, note: str) -> None:
        text = wrapped(note, int(self.width / (_LETTER * 13)))
        self.height = self._place(text, 13, self.gap, self.width, SOFT) + self.gap

    def _place(self, text: str, size: int, left: int, room: int, colour: str = INK) -> int:
        """Place a text below what there is; return where it ends."""
        lines = [fitted(line, room, size) for line in text.split("\n")]
        upper = self.height + self.gap // 2
        self._texts.append((left, upper, "\n".join(lines), size, colour))
        return upper + round(1.35 * size * len(lines))

    def figure(self) -> Figure:
        figure = Figure((self.width / 100, self.height / 100), dpi=100)
        for pixels, left, lower in self._fields:
            figure.figimage(pixels, left, self.height - lower)
        for left, upper, text, size, colour in self._texts:
            figure.text(
                left / self.width, 1 - upper / self.height, text, size=0.72 * size, color=colour, va="top", **WORDS
            )
        return figure


def thumbnail(image: Path | str | Image.Image, side: int, apply_exif: bool = True) -> Image.Image:
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    else:
        picture = File(os.fspath(image)).load(AnySize(apply_exif=apply_exif)).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return picture


def fitted(text: str, width: float, size: int) -> str:
    text = " ".join(printable(text).split())
    most = int(width / (_LETTER * size))
    half = max(most - 1, 2) // 2
    return text if len(text) <= most else text[:half] + _ELLIPSIS + text[-half:]


def wrapped(text: str, width: int, lines: int = 3) -> str:
    wrapped_lines = textwrap.wrap(text, width, break_on_hyphens=False, max_lines=lines, placeholder=_ELLIPSIS)
    return "\n".join(wrapped_lines) or text


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
