"""Sheets of images with captions, below headings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ...errors import ImageError
from .fitted_text import fitted, letters_in, wrapped
from .pictures import FAINT, INK, SOFT, WORDS
from .thumbnail import thumbnail

_DPI = 100
_POINTS_PER_PIXEL = 72 / _DPI


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
        text = wrapped(note, letters_in(self.width, 13))
        self.height = self._place(text, 13, self.gap, self.width, SOFT) + self.gap

    def _place(self, text: str, size: int, left: int, room: int, colour: str = INK) -> int:
        """Place a text below what there is; return where it ends."""
        lines = [fitted(line, room, size) for line in text.split("\n")]
        upper = self.height + self.gap // 2
        self._texts.append((left, upper, "\n".join(lines), size, colour))
        return upper + round(1.35 * size * len(lines))

    def figure(self) -> Figure:
        """Return the sheet as a figure, whose origin is the lower left corner."""
        figure = Figure((self.width / _DPI, self.height / _DPI), dpi=_DPI)
        for pixels, left, lower_edge in self._fields:
            figure.figimage(pixels, left, self.height - lower_edge)
        for left, upper_edge, text, size, colour in self._texts:
            place = (left / self.width, 1 - upper_edge / self.height)
            figure.text(*place, text, size=size * _POINTS_PER_PIXEL, color=colour, va="top", **WORDS)
        return figure
