"""HTML page of a table, with crops where methods differ most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...report.crops import differing_crops
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
    versions = []
    for who, crop in zip(files, differing_crops(list(files.values())), strict=True):
        scores = rows.loc[who, found.of_images] if who in rows.index else {}
        texts = {label: shown(score, found.digits(label)) for label, score in scores.items()}
        versions.append({"who": who, "crop": None if crop is None else embedded(crop, who), "scores": texts})
    return {"name": name, "whole": next(iter(files.values())), "versions": versions}
