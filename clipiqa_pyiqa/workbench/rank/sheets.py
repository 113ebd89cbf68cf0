"""Sheets of the best and the worst images: one picture for each question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.figure import Figure
from pandas import Series

from ..experiments.experiment_result import file_names
from ..files.shown_paths import below_common
from ..report.contact_sheet import contact_sheet

SHEETS = "rank-{}.png"
"""Names of the sheets' files; ``{}`` stands for the question."""


def sheet_names(questions: Iterable[str]) -> dict[str, str]:
    """Return question -> name of its sheet's file."""
    return file_names(questions, SHEETS)


def score_sheet(parts: Mapping[str, Series], paths: Sequence[str], note: str, *, apply_exif: bool = True) -> Figure:
    """Return a sheet of images with their scores and names.

    Args:
        parts: Heading -> scores of the images below it, by path.
        paths: All ranked images: what their paths have in common is not shown.
        note: A text at the bottom.
    """
    names = below_common(paths)
    groups = {}
    for heading, scores in parts.items():
        groups[heading] = [(path, f"{score:.4f}\n{names[path]}") for path, score in scores.items()]
    return contact_sheet(groups, note, apply_exif=apply_exif)
