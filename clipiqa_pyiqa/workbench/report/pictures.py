"""The look of figures: style, colours and captions; and their files."""

import textwrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from ...checks import FilePath
from ...files import replacing
from ...text import plain_lines
from .fitted_text import letters_in

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
_CAPTION_SIZE = 7  # points


def add_caption(figure: Figure, text: str) -> None:
    """Write a text below a figure, if there is one."""
    if text:
        width_in_points = figure.get_figwidth() * 72
        text = textwrap.fill(text, letters_in(width_in_points, _CAPTION_SIZE))
        figure.supxlabel(text, x=0.01, ha="left", fontsize=_CAPTION_SIZE, color=SOFT, parse_math=False)


def make_texts_plain(figure: Figure) -> None:
    """Replace the characters in a figure's texts that no font or file can hold."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                axis.set_ticklabels([plain_lines(label.get_text()) for label in axis.get_majorticklabels()])
    for text in figure.findobj(Text):
        text.set_text(plain_lines(text.get_text()))


def save_figure(figure: Figure, path: FilePath) -> None:
    """Write a figure in the format of the file's suffix."""
    with replacing(path) as partial:
        make_texts_plain(figure)
        figure.savefig(partial)
