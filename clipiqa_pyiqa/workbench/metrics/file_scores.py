"""Scores in files of any tool, as a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import CLIPIQAError
from ...files import hash_file
from ...text import on_disk
from ..files.specifications import Settings, check_kinds
from ..results.columns import Column, Record
from .kinds import FileMetric

if TYPE_CHECKING:
    import pandas

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
    if METHOD in path:  # the files are read when the methods are known
        return FileMetric(label, path, options)
    named = options.get("column")
    scores = read_scores(path, columns=named and [named], key=options.get("key"))
    name = named or _chosen_name(scores.names, label, path)
    record = scores.columns.get(name, Column(name)).record or _record_of_file(Path(path).expanduser(), name)
    lower_better = _direction(label, name, options.get("lower_better"), record)
    if lower_better is None:
        raise CLIPIQAError(
            f"nothing says whether low or high scores of {label!r} are good: pass '{label}={path_as_written or path}:"
            "lower_better=true', or false."
        )
    score_of_image = scores.frame[name].dropna()
    _check_unique(score_of_image.index, name, path)
    changed_images = scores.changed(score_of_image.index, on_disk)
    return FileMetric(
        label,
        path,
        options,
        {**record, "lower_better": lower_better},
        score_of_image.drop(changed_images).to_dict(),
        changed_images,
    )


def _chosen_name(names: Sequence[str], label: str, path: str) -> str:
    """Return the name of a file's scores, where the user gives none: the only one, or that of the label."""
    if len(names) == 1:
        return names[0]
    if label not in names:
        raise CLIPIQAError(
            f"{path!r} has the scores {', '.join(names)}: name one, as in '{label}={path}:column={names[0]}'."
        )
    return label


def _record_of_file(file: Path, name: str) -> Record:
    return {"metric": name, "file": file.name, "sha256": hash_file(file), "range": [None, None]}


def _direction(label: str, name: str, told: bool | None, record: Record) -> bool | None:
    """Return whether low scores are good: as the user tells, as the file does, or as a name does; None: unknown."""
    from ..results.known_directions import direction_by_name, known_word

    by_label = None if known_word(name) else direction_by_name(label)
    for lower_better in (told, record.get("lower_better"), direction_by_name(name), by_label):
        if lower_better is not None:
            return lower_better
    return None


def _check_unique(images: pandas.Index, name: str, path: str) -> None:
    """Raise ``CLIPIQAError`` if an image has several scores."""
    is_repeated = images.duplicated()
    if is_repeated.any():
        raise CLIPIQAError(f"{path!r} has several scores {name!r} of {images[is_repeated][0]!r}: keep one.")


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
    changed_images = list[str]()
    for part, paths in zip(parts, files.values(), strict=True):
        scores |= scores_of(part, paths)
        changed_images += part.changed_images
    record = dict(parts[0].record)
    if "sha256" in record:
        record["sha256"] = " ".join(part.record["sha256"] for part in parts)
    return replace(metric, record=record, scores=scores, changed_images=changed_images)
