"""Scores of image files, written to a file during the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, first_of
from ..errors.arguments import checked
from ..images.source import FileSource
from ..metric import net_of
from ..prompts.pairs import PromptPair, Prompts
from ..scoring.result_files import Output, read_results
from ..scoring.rows import Row, printable
from ..scoring.score import ScoringOptions, ScoringRun, score_paths

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Scores:
    """Scores of images.

    Attributes:
        frame: Index ``path``, as given; one column per question, in [0, 1].
        failed: Path of an image without scores -> the reason.
        provenance: The CLIP-IQA and the options that made the scores.
        flags: Path of an image with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict, kw_only=True)


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
    return f": {first_of(failed.values())}." if failed else "."


@checked
def score_images(
    metric: Any,
    paths: Iterable[str | os.PathLike[str]],
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = "quality",
    *,
    record: Record | None = None,
    **options: Unpack[ScoringOptions],
) -> Scores:
    """Return scores of image files; each file is encoded once.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric('clipiqa')``.
        paths: Image files.
        prompts: As for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None uses the metric's own prompts.
        record: Where the rows go.
        options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.
    """
    import pandas

    files = list(dict.fromkeys(os.fspath(path) for path in paths))
    record = record or Record()
    run = score_paths(net_of(metric), map(FileSource, files), prompts, out=record.output, **options)
    names, found = run.header.columns, record.rows(run)
    rows = {path: found[printable(path)] for path in files}
    scores = {path: row.scores for path, row in rows.items() if row.scores is not None}
    failed = {path: row.error for path, row in rows.items() if row.scores is None}
    if not scores:
        raise ImageError("none of the images could be scored" + because(failed))
    index = pandas.Index(scores, name="path", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(scores.values()), index, list(names), dtype=float)
    return Scores(
        frame, names, failed, run.header.provenance, flags={path: row.flag for path, row in rows.items() if row.flag}
    )
