"""Crops of the images on which methods differ most, for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..report.cell_texts import number
from ..report.crops import differing_crops
from ..report.html import block, embedded
from ..report.labels import Relabelling

if TYPE_CHECKING:
    from pandas import DataFrame

    from .method_table import MethodTable

_MOST_IMAGES = 10
REFERENCE = "reference"  # no method has this name
_Version = tuple[str, Markup | None, Mapping[str, str]]
"""The name of a version of an image, its crop, and its scores as texts."""


def crops_by_heading(method_table: MethodTable, relabelled: Relabelling) -> dict[str, Markup]:
    """Return heading -> crops of the images on which the methods differ most; nothing for one method."""
    if len(method_table.methods) == 1:
        return {}
    scores = method_table.scores.set_index(["test_set", "image", "method"])
    images = []
    for test_set, name in method_table.spread().index[:_MOST_IMAGES]:
        rows = scores.xs((test_set, name), level=[0, 1])
        files = dict(rows["path"])
        if name in method_table.matched.references:
            files = {REFERENCE: method_table.matched.references[name], **files}
        first_file = next(iter(files.values()))
        images.append((name, first_file, _versions(method_table, rows, files, relabelled)))
    return {"Where the methods differ most": block("crops", _note(method_table), images)}


def _versions(
    method_table: MethodTable, rows: DataFrame, files: Mapping[str, str], relabelled: Relabelling
) -> list[_Version]:
    """Return an image's versions with their crops and scores.

    Args:
        rows: Method -> the image's scores.
        files: Method, or ``'reference'`` -> the image's file.
    """
    crops = differing_crops(files)
    versions = list[_Version]()
    for name in files:
        scores = rows.loc[name, method_table.of_images] if name in rows.index else {}
        texts = {relabelled(label): number(score, method_table.digits(label)) for label, score in scores.items()}
        shown_name = relabelled(name)
        crop = embedded(crops[name], shown_name, "PNG") if name in crops else None
        versions.append((shown_name, crop, texts))
    return versions


def _note(method_table: MethodTable) -> str:
    """Return how to read the crops."""
    note = (
        "Shown are the images on which the methods' scores differ most. Each crop is the square in which the pixels "
        "differ most, at 100 % (unscaled)."
    )
    if method_table.sizes.limits:
        note += f" Metrics saw the images shrunk {method_table.sizes.limits_text}."
    return note
