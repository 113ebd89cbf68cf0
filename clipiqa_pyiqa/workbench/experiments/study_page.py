"""The page of a user study, in one file: people choose between two photos, and save their votes as a CSV file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from ...prompts.pairs import PromptPair
from ...text import counted, printable
from ..report.html import render
from ..report.thumbnail import thumbnail

SIDE = 640  # pixels, at most, of a photo on the page
_QUALITY = 80  # of its JPEG


def study_page(pairs: pandas.DataFrame, texts: Mapping[str, PromptPair], folder: Path, apply_exif: bool = True) -> str:
    """Return the page. Its votes name photos relative to ``folder``, in which :func:`~.votes.read_votes` finds them.

    Args:
        pairs: Columns ``attribute``, ``high`` and ``low``.
    """
    files = list(dict.fromkeys([*pairs["high"], *pairs["low"]]))
    places = {file: place for place, file in enumerate(files)}
    photos = [{"path": _path_from(folder, file), "picture": _picture(file, apply_exif)} for file in files]
    attributes = [_entry(name, text, pairs, places) for name, text in texts.items()]
    return render(
        __package__,
        "study.html.j2",
        title=f"Which photo fits better? {counted(len(pairs), 'pair')}",
        data={"photos": photos, "attributes": [entry for entry in attributes if entry["pairs"]]},
    )


def _entry(name: str, text: PromptPair, pairs: pandas.DataFrame, places: Mapping[str, int]) -> dict[str, Any]:
    """Return what the page's script knows of an attribute; photos are named by their places in its list."""
    rows = pairs[pairs["attribute"] == name]
    sides = zip(rows["high"], rows["low"], strict=True)
    return {
        "name": name,
        "positive": text.positive,
        "negative": text.negative,
        "pairs": [[places[high], places[low]] for high, low in sides],
    }


def _path_from(folder: Path, file: str) -> str:
    return printable(os.path.relpath(os.path.realpath(file), folder).replace(os.sep, "/"))


def _picture(file: str, apply_exif: bool) -> str:
    buffer = io.BytesIO()
    thumbnail(file, SIDE, apply_exif).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/jpeg;base64,{encoded}"
