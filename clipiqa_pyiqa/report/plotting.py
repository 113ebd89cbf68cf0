"""Matplotlib basics: style, colours, and figures as SVG."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import escape
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from ..files.names import plain_lines

INK, BLUE, ORANGE = "#1c1e22", "#2f6fd0", "#d9730d"
SOFT = "#6b7280"  # readable on white and on black
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
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


def captioned(figure: Figure, text: str) -> Figure:
    if text:
        letters = int(figure.get_figwidth() * 72 / 4.2)  # letters of 7 points are 3.9 points wide on average
        text = textwrap.fill(text, letters)
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


def svg(figure: Figure, names: Sequence[str] = ()) -> str:
    """Return a figure as a transparent ``<svg>`` in the page's text colour; names show on hovering the first points."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.image_inline": True}):
        plain_texts(figure).savefig(
            buffer, format="svg", transparent=True, dpi=144, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    # ids such as figure_1 would occur again in the page's other pictures
    text = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>| id="[\w.]+_\d+"', "", text, flags=re.DOTALL)
    titles = (f"><title>{escape(plain_lines(name))}</title></use>" for name in names)
    text = re.sub(r"(<use [^>]*)/>", lambda found: found[1] + next(titles), text, count=len(names)) if names else text
    return re.sub(r"\n\s*", "\n", text)
