"""Metrics whose scores are in a file of any tool: they are joined by the names of images, never computed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CLIPIQAError, counted, few, log
from ..files.names import on_disk
from ..files.reading import hash_file
from ..files.specification import check_kinds
from ..results.columns import Column
from ..results.scores import direction_by_name, read_scores
from .metric import Metric, scores_of

METHOD = "{method}"  # in a file's name: one file for each method of a table
_OPTIONS = {"column": str, "key": str, "lower_better": bool}


def file_metric(label: str, path: str, options: Mapping[str, Any], given: str = "") -> Metric:
    """Return the metric whose scores are in a file, or in a folder of results by shard.

    Args:
        options: ``column`` of scores, ``key`` (column of image names), ``lower_better``.
        given: The path as the user wrote it, such as ``{method}.csv``.
    """
    label = label or Path(path).stem
    check_kinds(options, _OPTIONS, f"metric {label!r}")
    if METHOD in path:
        return Metric(label, path, options, mode="file", columns=(Column(label),))
    column, low = options.get("column"), options.get("lower_better")
    found = read_scores(path, columns=column and [column], key=options.get("key"))
    first, *more = found.names
    if column is None and more and label not in found.names:
        raise CLIPIQAError(
            f"{path!r} has the scores {', '.join(found.names)}: name one, as in '{label}={path}:column={first}'."
        )
    column = column or (label if more else first)
    file = Path(path).expanduser()
    record = found.columns.get(column, Column(column)).record or {
        "metric": column,
        "file": file.name,
        "sha256": hash_file(file),
        "range": [None, None],
    }
    known = (low, record.get("lower_better"), direction_by_name(column), direction_by_name(label))
    direction = next((each for each in known if each is not None), None)
    if direction is None:
        raise CLIPIQAError(
            f"nothing says whether low or high scores of {label!r} are good: pass '{label}={given or path}:"
            "lower_better=true', or false."
        )
    values = found.frame[column].dropna()
    if len(twice := values.index[values.index.duplicated()]):
        raise CLIPIQAError(f"{path!r} has several scores {column!r} of {twice[0]!r}: keep one.")
    if changed := found.changed(values.index, on_disk):
        lost = f"{path!r} has scores of {counted(len(changed), 'image')} that changed since"
        log.warning(f"left out: {lost}: {few(changed)}")
        values = values.drop(changed)
    made = Column(label, {**record, "lower_better": direction})
    return Metric(label, path, options, mode="file", columns=(made,), score=values.to_dict())


def of_methods(metric: Metric, files: Mapping[str, Sequence[str]]) -> Metric:
    """Return a metric with the scores of all methods' images: of one file for each method, or of a common file."""
    if METHOD not in metric.name:
        return replace(metric, score=scores_of(metric, [path for paths in files.values() for path in paths]))
    path = metric.name
    parts = [file_metric(metric.label, path.replace(METHOD, name), metric.options, path) for name in files]
    scores: dict[str, float] = {}
    for part, paths in zip(parts, files.values(), strict=True):
        scores |= scores_of(part, paths)
    record = dict(parts[0].columns[0].record)
    if "sha256" in record:
        record["sha256"] = " ".join(part.columns[0].record["sha256"] for part in parts)
    return replace(metric, columns=(Column(metric.label, record),), score=scores)
