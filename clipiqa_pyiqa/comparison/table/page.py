"""A table of methods as one HTML page: the tables, where methods differ most, and every picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ...files.names import one_line
from ...report.crops import differing_crops
from ...report.html import embedded, render
from ...report.table import Cell, Column, Mark, number
from .values import MethodScores
from .written import difference_table, expected_table, method_table, metrics_exactly, reading

_SHOWN = 10  # pictures whose crops are shown
_THUMBNAILS = 500  # rows with a thumbnail; a page of thousands would not open


def page(found: MethodScores) -> str:
    """The page as HTML, with every picture inside."""
    main = method_table(found)
    shown = list(found.spread().index[:_SHOWN])
    rows = sum(map(len, found.pictures.test_sets.values()))
    return render(
        __package__,
        "methods.html.j2",
        title=main.title,
        findings=[_finding(found, s) for s in found.test_sets],
        legend=reading(found),
        main=main,
        differences=difference_table(found),
        expected=expected_table(found),
        pictures=[_picture(found, *key) for key in shown],
        sections=[_section(found, s) for s in found.test_sets],
        thumbnails=rows <= _THUMBNAILS,
        most=_THUMBNAILS,
        exactly=metrics_exactly(found),
        settings=found.settings,
    )


def _finding(found: MethodScores, test_set: str) -> Markup:
    best: dict[str, list[str]] = {}
    for label in found.labels:
        for method, value in found.values[test_set, label].items():
            if value.rank == 1:
                best.setdefault(method, []).append(label)
    where = Markup("On <b>{}</b>: ").format(one_line(test_set)) if test_set else Markup("")
    if not best:
        return where + "nothing tells the methods apart."
    said = [Markup("<b>{}</b> is best in {}").format(one_line(m), ", ".join(labels)) for m, labels in best.items()]
    return where + Markup("; ").join(said) + "."


def _picture(found: MethodScores, test_set: str, name: str) -> dict[str, Any]:
    """One picture: the whole of it, and the crops of every version with its scores."""
    files = {method: found.pictures.files[method][name] for method in found.methods}
    if name in found.pictures.references:
        files = {"reference": found.pictures.references[name], **files}
    crops = differing_crops(list(files.values()))
    versions = []
    for (who, _), crop in zip(files.items(), crops, strict=True):
        is_reference = who == "reference" and who not in found.methods
        scores = {} if is_reference else _scores(found, test_set, name, who)
        versions.append({"who": who, "crop": None if crop is None else embedded(crop, who), "scores": scores})
    return {"name": name, "whole": next(iter(files.values())), "versions": versions}


def _scores(found: MethodScores, test_set: str, name: str, method: str) -> Mapping[str, str]:
    rows = found.scores
    row = rows[(rows["test_set"] == test_set) & (rows["image"] == name) & (rows["method"] == method)].iloc[0]
    return {n: "–" if math.isnan(row[n]) else number(row[n], found.digits(n)) for n in found.of_images}


def _section(found: MethodScores, test_set: str) -> dict[str, Any]:
    """Every picture of a test set: a row each, metrics across, methods within each."""
    rows = found.scores[found.scores["test_set"] == test_set].set_index(["image", "method"])
    lines = []
    for name in found.pictures.test_sets[test_set]:
        cells = []
        for label in found.of_images:
            values = {m: float(rows.loc[(name, m), label]) for m in found.methods}
            known = [value for value in values.values() if not math.isnan(value)]
            best = (min if found.lower_better(label) else max)(known, default=math.nan)
            for value in values.values():
                mark: Mark = "best" if value == best and len(set(known)) > 1 else ""
                text = "–" if math.isnan(value) else number(value, found.digits(label))
                cells.append(Cell(text, value=value, mark=mark))
        path = found.pictures.references.get(name) or found.pictures.files[found.methods[0]][name]
        lines.append({"name": name, "path": os.fspath(path), "cells": cells})
    return {
        "name": test_set,
        "metrics": [
            Column(label, "lower" if found.lower_better(label) else "higher").head for label in found.of_images
        ],
        "methods": found.methods,
        "rows": lines,
    }
