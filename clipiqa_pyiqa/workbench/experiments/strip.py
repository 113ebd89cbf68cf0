"""The strip of Fig. 4: a photo in the steps of each change, with scores and amounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas
from matplotlib.figure import Figure
from PIL import Image

from ...text import printable
from ..report.contact_sheet import contact_sheet
from .changes import CHANGES
from .image_versions import image_versions

_PICTURES = 5  # of a change, so that they stay large enough to see it


def typical_photo(correlations: pandas.Series) -> Any:
    """Return the index of the median correlation (of the lower one of two); of the first if there is none."""
    ordered = correlations.dropna().sort_values(kind="stable")
    return correlations.index[0] if ordered.empty else ordered.index[(len(ordered) - 1) // 2]


def strip(frame: pandas.DataFrame, questions: Mapping[str, Sequence[str]], reading: Mapping[str, Any]) -> Figure:
    """Return a row of pictures for each change: a typical photo in up to five of its steps.

    Args:
        frame: Rows of a sweep at one scale, with the columns of :attr:`~.attribute_sweep.Sweep.frame` and
            ``correlation``, of the photo and change.
        questions: Change -> the questions whose scores stand below the pictures.
        reading: As for :func:`~.image_versions.image_versions`.
    """
    groups = {}
    for change, rows in frame.groupby("change", sort=False):
        photo = typical_photo(rows.drop_duplicates("path").set_index("path")["correlation"])
        steps = rows[rows["path"] == photo]
        heading = f"{change}: {CHANGES[str(change)].unit}; {printable(str(photo))}"
        groups[heading] = _pictures(steps, questions[str(change)], reading)
    return contact_sheet(groups, "Of each change: the photo with the median correlation of score and step.")


def _pictures(steps: pandas.DataFrame, questions: Sequence[str], reading: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return pictures of a photo at some steps, with captions."""
    first = steps.iloc[0]
    versions = image_versions([first["path"]], [first["scale"]], [CHANGES[first["change"]]], len(steps), reading)
    places = np.linspace(0, len(steps) - 1, min(_PICTURES, len(steps))).round().astype(int)
    pictures = list[tuple[Image.Image, str]]()
    for place in places:
        row = steps.iloc[place]
        scores = [
            f"score {row[question]:.3f}" if len(questions) == 1 else f"{question} {row[question]:.3f}"
            for question in questions
        ]
        pictures.append((versions[place].picture(), "\n".join([f"{row['amount']:g}", *scores])))
    return pictures
