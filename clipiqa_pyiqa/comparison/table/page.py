"""HTML page of a table, with crops where methods differ most."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...errors import ImageError
from ...report.contact_sheet import thumbnail
from ...report.html import embedded, render
from ...report.table import Table
from .values import MethodScores, shown

_SHOWN = 10  # images whose crops are shown


def report_page(found: MethodScores, tables: Sequence[Table], exactly: Iterable[str]) -> str:
    pictures = found.spread().index[:_SHOWN] if len(found.methods) > 1 else ()
    return render(
        __package__,
        "methods.html.j2",
        title=tables[0].title,
        tables=tables,
        pictures=[_picture(found, *key) for key in pictures],
        exactly=exactly,
        settings=found.settings,
    )


def _picture(found: MethodScores, test_set: str, name: str) -> dict[str, Any]:
    rows = found.scores[(found.scores["test_set"] == test_set) & (found.scores["image"] == name)].set_index("method")
    files = {"reference": found.images.references.get(name), **rows["path"]}
    files = {who: path for who, path in files.items() if path}
    crops, versions = differing_crops(files), []
    for who in files:
        scores = rows.loc[who, found.of_images] if who in rows.index else {}
        texts = {label: shown(score, found.digits(label)) for label, score in scores.items()}
        versions.append({"who": who, "crop": embedded(crops[who], who) if who in crops else None, "scores": texts})
    return {"name": name, "whole": next(iter(files.values())), "versions": versions}


def differing_crops(files: Mapping[str, str], side: int = 176) -> dict[str, Image.Image]:
    """Return each version's crop at the square where the readable versions of one size differ most."""
    pictures: dict[str, Image.Image] = {}
    for who, path in files.items():
        with contextlib.suppress(ImageError):
            picture = thumbnail(path, sys.maxsize)
            if not pictures or picture.size == next(iter(pictures.values())).size:
                pictures[who] = picture
    box = _most_different(list(pictures.values()), side) if pictures else None
    return {who: picture.crop(box) for who, picture in pictures.items()}


def _most_different(versions: Sequence[Image.Image], side: int) -> tuple[int, int, int, int]:
    """Return the box of the square with the largest variance between versions."""
    width, height = versions[0].size
    wide, high = min(side, width), min(side, height)
    pixels = [np.asarray(version) for version in versions]
    mean = sum(each.astype(np.float64) for each in pixels) / len(pixels)
    variance = sum(((each - mean) ** 2).mean(axis=2) for each in pixels)
    summed = np.pad(np.asarray(variance).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = summed[high:, wide:] - summed[:-high, wide:] - summed[high:, :-wide] + summed[:-high, :-wide]
    top, left = map(int, np.unravel_index(np.argmax(boxes), boxes.shape))
    return left, top, left + wide, top + high
