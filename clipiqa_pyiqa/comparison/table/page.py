"""HTML page of a table, with crops where methods differ most."""

from __future__ import annotations

import math
from typing import Any

import pandas
from markupsafe import Markup

from ...files.names import one_line
from ...report.crops import differing_crops
from ...report.html import embedded, render
from ...report.table import Cell, Column, number
from .values import MethodScores
from .written import difference_table, expected_table, legend, method_table, metric_lines

_SHOWN = 10  # pictures whose crops are shown
_THUMBNAILS = 500  # with more pictures, the page has no thumbnails: browsers could not open it


def report_page(found: MethodScores) -> str:
    main = method_table(found)
    rows = found.scores.set_index(["test_set", "image", "method"])
    return render(
        __package__,
        "methods.html.j2",
        title=main.title,
        findings=[finding for test_set in found.test_sets if (finding := _finding(found, test_set))],
        legend=legend(found),
        main=main,
        differences=difference_table(found),
        expected=expected_table(found),
        pictures=[_picture(found, rows, *key) for key in found.spread().index[:_SHOWN]],
        sections=[_section(found, rows, test_set) for test_set in found.test_sets],
        thumbnails=len(found.pictures.names) <= _THUMBNAILS,
        most=_THUMBNAILS,
        exactly=metric_lines(found),
        settings=found.settings,
    )


def _finding(found: MethodScores, test_set: str) -> Markup | None:
    if len(found.methods) < 2:
        return None
    cells = found.cells.loc[test_set].reset_index()
    best = cells[cells["rank"] == 1].groupby("method", sort=False)["metric"].agg(", ".join)
    where = Markup("On <b>{}</b>: ").format(one_line(test_set)) if test_set else Markup("")
    if best.empty:
        return where + "no metric shows a difference between the methods."
    parts = [Markup("<b>{}</b> is best in {}").format(one_line(method), labels) for method, labels in best.items()]
    return where + Markup("; ").join(parts) + "."


def _picture(found: MethodScores, rows: pandas.DataFrame, test_set: str, name: str) -> dict[str, Any]:
    files = {method: found.pictures.files[method][name] for method in found.methods}
    if name in found.pictures.references:
        files = {"reference": found.pictures.references[name], **files}
    versions = []
    for (who, _), crop in zip(files.items(), differing_crops(list(files.values())), strict=True):
        scores = {}
        if who in found.methods:
            scores = {n: _text(found, n, rows.at[(test_set, name, who), n]) for n in found.of_images}
        versions.append({"who": who, "crop": None if crop is None else embedded(crop, who), "scores": scores})
    return {"name": name, "whole": next(iter(files.values())), "versions": versions}


def _section(found: MethodScores, rows: pandas.DataFrame, test_set: str) -> dict[str, Any]:
    lines = []
    for name in found.pictures.test_sets[test_set]:
        cells = []
        for label in found.of_images:
            values = [float(rows.at[(test_set, name, method), label]) for method in found.methods]
            known = {value for value in values if not math.isnan(value)}
            best = (min if found.lower_better(label) else max)(known) if len(known) > 1 else math.nan
            texts = [_text(found, label, value) for value in values]
            cells += [Cell(t, value=v, mark="best" if v == best else "") for t, v in zip(texts, values, strict=True)]
        path = found.pictures.references.get(name) or found.pictures.files[found.methods[0]][name]
        lines.append({"name": name, "path": path, "cells": cells})
    heads = [Column(label, "lower" if found.lower_better(label) else "higher").head for label in found.of_images]
    return {"name": test_set, "metrics": heads, "methods": found.methods, "rows": lines}


def _text(found: MethodScores, label: str, value: float) -> str:
    return "–" if math.isnan(value) else number(value, found.digits(label))
