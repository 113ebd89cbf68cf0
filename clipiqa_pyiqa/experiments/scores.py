"""Scores of image files for the experiments: every question at once, written down as they come, failures kept apart."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    """What images scored.

    Attributes:
        frame: Index ``path``, as given; one column per question, in [0, 1].
        failed: Images left out -> why, as a sentence.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        flags: Images with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def questions(self) -> list[str]:
        """The names of the columns."""
        return list(self.frame.columns)


@dataclass(frozen=True)
class Record:
    """Where rows are kept as they come, so that a run which is broken off loses nothing.

    Args:
        path: A CSV file, in the format of ``clipiqa score``; None keeps nothing.
        resume: Go on with what an earlier run left there.
        overwrite: Replace it.
        progress: Called with each row.

    Raises:
        ResultsError: The file cannot be written, or is taken and neither ``resume`` nor ``overwrite`` is given.
    """

    path: Path | None = None
    resume: bool = False
    overwrite: bool = False
    progress: Callable[[Row], object] = lambda row: None

    def __post_init__(self) -> None:
        if self.path is not None:
            Output(self.path, "csv", self.resume, self.overwrite)  # complains before anything is scored

    def rows(
        self, header: Header, names: Sequence[str], score: Callable[[Collection[str]], Iterable[Row]]
    ) -> Iterator[Row]:
        """Return the rows of these names in order, scored where an earlier run has not.

        Args:
            header: Of the file.
            names: What the rows will be called; none twice.
            score: Makes the rows of the names that it is given.
        """
        found: dict[str, Row] = {}
        with contextlib.ExitStack() as stack:
            writer = None
            if self.path is not None:
                output = Output(self.path, "csv", self.resume, self.overwrite)
                writer = stack.enter_context(open_results(output, header, [printable(name) for name in names]))
            todo = [name for name in names if writer is None or printable(name) not in writer.done]
            for row in score(todo) if todo else ():
                if writer is not None:
                    writer.write(row)
                self.progress(row)
                found[row.path] = row
        if self.path is not None:
            found = {row.path: row for row in read_results(self.path)[1]}
        return (found[printable(name)] for name in names)


def exif_applied(provenance: Mapping[str, Any]) -> bool:
    """Whether files were turned upright for scoring, as pictures of them should be too."""
    return provenance.get("apply_exif") is not False


def because(failed: Mapping[str, str] | None) -> str:
    """The end of a sentence: the first reason why images have no score, if any, and how many more there are."""
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
    """Score image files, each encoded once, however many questions are asked and however often it is named.

    Args:
        metric: A ``CLIPIQA``, what ``pyiqa.create_metric('clipiqa')`` returns, or a function that makes one.
        paths: The files.
        prompts: What to ask, one column each: names, presets and pairs, as for
            :func:`~clipiqa_pyiqa.prompts.parse_columns`, or the columns that it returned; None asks the metric's own.
        record: Where the rows are kept as they come; by default nowhere.

    Returns:
        The scores, and why images have none.

    Raises:
        CLIPIQAError: The metric is no CLIP-IQA.
        ImageError: No image could be scored.
        PromptError: Questions that cannot be asked.
    """
    import pandas

    files = list(dict.fromkeys(os.fspath(path) for path in paths))
    net = net_of(metric)
    columns = None if prompts is None else parse_columns(prompts)
    names = net.columns if columns is None else tuple(columns)
    device = find_device(device)
    limits: dict[str, Any] = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels}

    def score(todo: Collection[str]) -> Iterator[Row]:
        sources = map(FileSource, todo)
        return score_paths(net, sources, columns, device=device, batch_size=batch_size, workers=workers, **limits)

    said = provenance(net, columns, device, **limits)
    rows = dict(zip(files, (record or Record()).rows(Header(names, said), files, score), strict=True))
    kept = {path: row.scores for path, row in rows.items() if row.scores is not None}
    failed = {path: row.error for path, row in rows.items() if row.scores is None}
    if not kept:
        raise ImageError("none of the images could be scored" + because(failed))
    index = pandas.Index(kept, name="path", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(kept.values()), index, list(names), dtype=float)
    return Scores(frame, failed, said, flags={path: row.flag for path, row in rows.items() if row.flag})
