"""Scores in files of any tool, as a metric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import CLIPIQAError
from ...files.printable import on_disk
from ...files.reading import hash_file
from ...logger import log
from ...text import counted, few
from ..files.named import Settings, check_kinds
from ..results.columns import Column, Record
from .kinds import FileMetric

METHOD = "{method}"  # in a file's name: one file for each method of a table
_OF_FILES = {"column": str, "key": str, "lower_better": bool}


def read_file_metric(label: str, path: str, options: Settings, path_as_written: str = "") -> FileMetric:
    """Return the metric whose scores are in a file of any tool, or in a folder of results on Ray.

    They are joined by image names.

    Args:
        options: ``column`` of scores, ``key`` (column of image names), ``lower_better``.
        path_as_written: The path as the user wrote it, such as ``{method}.csv``.
    """
    from ..results.score_files import read_scores  # many modules

    label = label or Path(path).stem
    check_kinds(options, _OF_FILES, f"metric {label!r}")
    if METHOD in path:
        return FileMetric(label, path, options)
    column = options.get("column")
    scores = read_scores(path, columns=column and [column], key=options.get("key"))
    first, *others = scores.names
    if not column and others and label not in scores.names:
        raise CLIPIQAError(
            f"{path!r} has the scores {', '.join(scores.names)}: name one, as in '{label}={path}:column={first}'."
        )
    column = column or (label if others else first)
    record = scores.columns.get(column, Column(column)).record or _record_of_file(Path(path).expanduser(), column)
    is_low_good = _direction(label, column, options.get("lower_better"), record)
    if is_low_good is None:
        raise CLIPIQAError(
            f"nothing says whether low or high scores of {label!r} are good: pass '{label}={path_as_written or path}:"
            "lower_better=true', or false."
        )
    values = scores.frame[column].dropna()
    is_repeated = values.index.duplicated()
    if is_repeated.any():
        raise CLIPIQAError(f"{path!r} has several scores {column!r} of {values.index[is_repeated][0]!r}: keep one.")
    changed = scores.changed(values.index, on_disk)
    if changed:
        log.warning(
            f"left out: {path!r} has scores of {counted(len(changed), 'image')} that changed since: {few(changed)}"
        )
        values = values.drop(changed)
    return FileMetric(label, path, options, {**record, "lower_better": is_low_good}, values.to_dict())


def _record_of_file(file: Path, column: str) -> Record:
    return {"metric": column, "file": file.name, "sha256": hash_file(file), "range": [None, None]}


def _direction(label: str, column: str, told: bool | None, record: Record) -> bool | None:
    """Return whether low scores are good: as the user tells, as the file does, or as a name does; None: unknown."""
    from ..results.directions import direction_by_name, known_word

    by_label = None if known_word(column) else direction_by_name(label)
    for is_low_good in (told, record.get("lower_better"), direction_by_name(column), by_label):
        if is_low_good is not None:
            return is_low_good
    return None


def scores_of(metric: FileMetric, images: Sequence[str]) -> dict[str, float]:
    """Return image -> score; names match below their common folders, without suffixes."""
    from ..names.matching import match  # many modules

    names_in_file = match(images, list(metric.scores)).pairs
    return {image: metric.scores[name] for image, name in names_in_file.items()}


def with_scores_of_methods(metric: FileMetric, files: Mapping[str, Sequence[str]]) -> FileMetric:
    """Return a metric with the scores of all methods' images: of one file for each method, or of a common file."""
    if METHOD not in metric.path:
        images = [path for paths in files.values() for path in paths]
        return replace(metric, scores=scores_of(metric, images))
    parts = [
        read_file_metric(metric.label, metric.path.replace(METHOD, name), metric.options, metric.path) for name in files
    ]
    scores = dict[str, float]()
    for part, paths in zip(parts, files.values(), strict=True):
        scores |= scores_of(part, paths)
    record = dict(parts[0].record)
    if "sha256" in record:
        record["sha256"] = " ".join(part.record["sha256"] for part in parts)
    return replace(metric, record=record, scores=scores)
