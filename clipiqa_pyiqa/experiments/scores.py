"""Scores of image files, written to a file during the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, first_of
from ..errors.arguments import SharedOptions, checked
from ..images.source import FileSource
from ..metric import net_of
from ..prompts.pairs import PromptPair, Prompts
from ..scoring.result_files import Output, read_results
from ..scoring.rows import Row, printable
from ..scoring.score import ScoringRun, score_paths

if TYPE_CHECKING:
    import pandas
    import torch


@dataclass(frozen=True)
class Scores:
    """Scores of images.

    Attributes:
        frame: Index ``path``, as given; one column per question, in [0, 1].
        failed: Path of an image without scores -> the reason.
        flags: Path of an image with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def questions(self) -> list[str]:
        return list(self.frame.columns)


@dataclass(frozen=True)
class Record:
    """Where a run's rows go: the CSV file ``output``, and a function that is told of each new row."""

    output: Output | None = None
    progress: Callable[[Row], object] = lambda row: None

    def rows(self, run: ScoringRun) -> dict[str, Row]:
        """Return a run's rows and those that it keeps: name -> row."""
        rows = dict[str, Row]()
        for row in run:
            self.progress(row)
            rows[row.path] = row
        return rows if self.output is None else {row.path: row for row in read_results(self.output.path)[1]}


def exif_applied(provenance: Mapping[str, Any]) -> bool:
    return provenance.get("apply_exif") is not False


def because(failed: Mapping[str, str]) -> str:
    """Return the end of a sentence: the first reason and the number of further reasons."""
    return f": {first_of(failed.values())}." if failed else "."


@checked
def score_images(
    metric: Any,
    paths: Iterable[str | os.PathLike[str]],
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = "quality",
    *,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    apply_exif: bool = SharedOptions.apply_exif,
    max_side: int | None = SharedOptions.max_side,
    max_pixels: int | None = SharedOptions.max_pixels,
    record: Record | None = None,
) -> Scores:
    """Return scores of image files; each file is encoded once.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric('clipiqa')``.
        paths: Image files.
        prompts: As for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None uses the metric's own prompts.
        record: Writer of the rows.
    """
    import pandas

    files = list(dict.fromkeys(os.fspath(path) for path in paths))
    record = record or Record()
    options: dict[str, Any] = {"device": device, "batch_size": batch_size, "workers": workers, "apply_exif": apply_exif}
    options |= {"max_side": max_side, "max_pixels": max_pixels, "out": record.output}
    run = score_paths(net_of(metric), map(FileSource, files), prompts, **options)
    names, made_by, found = run.header.columns, run.header.provenance, record.rows(run)
    rows = {path: found[printable(path)] for path in files}
    scores = {path: row.scores for path, row in rows.items() if row.scores is not None}
    failed = {path: row.error for path, row in rows.items() if row.scores is None}
    if not scores:
        raise ImageError("none of the images could be scored" + because(failed))
    index = pandas.Index(scores, name="path", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(scores.values()), index, list(names), dtype=float)
    return Scores(frame, failed, made_by, flags={path: row.flag for path, row in rows.items() if row.flag})
