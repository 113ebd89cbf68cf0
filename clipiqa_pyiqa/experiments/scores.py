"""Scores of image files, written to a file during the run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, first_of
from ..errors.arguments import SharedOptions, checked
from ..images.source import FileSource
from ..metric import find_device, net_of
from ..prompts.pairs import PromptPair, Prompts, parse_columns
from ..scoring.result_files import Output, open_results, read_results
from ..scoring.rows import Header, Row, printable
from ..scoring.score import provenance, score_paths

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
    """A writer of rows to the CSV file ``output``; without ``output``, no row is written."""

    output: Output | None = None
    progress: Callable[[Row], object] = lambda row: None

    def rows(
        self, header: Header, names: Sequence[str], score: Callable[[Collection[str]], Iterable[Row]]
    ) -> Iterator[Row]:
        """Return the rows in the order of ``names``; ``score`` computes the rows that the file lacks."""
        rows: dict[str, Row] = {}
        with contextlib.ExitStack() as stack:
            writer = None
            if self.output is not None:
                writer = stack.enter_context(open_results(self.output, header))
            todo = [name for name in names if writer is None or printable(name) not in writer.done]
            for row in score(todo) if todo else ():
                if writer is not None:
                    writer.write(row)
                self.progress(row)
                rows[row.path] = row
        if self.output is not None:
            rows = {row.path: row for row in read_results(self.output.path)[1]}
        return (rows[printable(name)] for name in names)


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
    net = net_of(metric)
    columns = None if prompts is None else parse_columns(prompts)
    names = net.columns if columns is None else tuple(columns)
    device = find_device(device)
    limits: dict[str, Any] = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels}
    made_by = provenance(net, columns, device, **limits)

    def score(todo: Collection[str]) -> Iterator[Row]:
        sources = map(FileSource, todo)
        return score_paths(net, sources, columns, device=device, batch_size=batch_size, workers=workers, **limits)

    rows = dict(zip(files, (record or Record()).rows(Header(names, made_by), files, score), strict=True))
    scores = {path: row.scores for path, row in rows.items() if row.scores is not None}
    failed = {path: row.error for path, row in rows.items() if row.scores is None}
    if not scores:
        raise ImageError("none of the images could be scored" + because(failed))
    index = pandas.Index(scores, name="path", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(scores.values()), index, list(names), dtype=float)
    return Scores(frame, failed, made_by, flags={path: row.flag for path, row in rows.items() if row.flag})
