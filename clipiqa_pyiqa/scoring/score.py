"""Scores of many images: one row per image, in input order."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import torch

from ..errors import ImageError, Kind, OptionError
from ..errors.arguments import SharedOptions, checked
from ..files.writing import check_output
from ..images.batches import in_batches, prefetch, stacked
from ..images.flags import flag
from ..images.reader import Damaged, ImageRecord, check_limits, read_image
from ..images.source import ImageSource
from ..metric import find_device, net_of, scoring_bytes
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..prompts.provenance import column_records
from ..sources.finding import find_shards
from ..sources.inputs import sources_of
from ..sources.members import Shard
from .result_files import Output, ResultWriter, format_of, open_results
from .rows import Header, Row, printable

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LIMITS = ("apply_exif", "max_side", "max_pixels", "damaged")
Item = TypeVar("Item")
Questions = Prompts | Mapping[str, Sequence[PromptPair]]
Paths = str | os.PathLike[str] | ImageSource | Shard | Iterable[str | os.PathLike[str] | ImageSource | Shard]


class ScoringOptions(TypedDict, total=False):
    """Options of reading and scoring: see :class:`~clipiqa_pyiqa.errors.arguments.SharedOptions`."""

    device: str | torch.device | None
    batch_size: int
    workers: int | None
    apply_exif: bool
    max_side: int | None
    max_pixels: int | None
    damaged: Damaged


class Work:
    """The checked metric, questions and options of :func:`score_paths`."""

    def __init__(self, metric: Any, prompts: Questions, **options: Unpack[ScoringOptions]) -> None:
        if unknown := options.keys() - ScoringOptions.__annotations__.keys():
            known = ", ".join(ScoringOptions.__annotations__)
            raise OptionError(f"there is no option {min(unknown)}: known options are {known}.")
        images = SharedOptions(**options)  # type: ignore[arg-type]
        check_limits(images.max_side, images.max_pixels, images.damaged)
        self.net = net_of(metric)
        self.questions = None if prompts is None else parse_columns(prompts, getattr(self.net, "template", None))
        self.device, self._batch_size, self._workers = find_device(images.device), images.batch_size, images.workers
        self._limits = {name: getattr(images, name) for name in _LIMITS}

    @property
    def header(self) -> Header:
        columns = self.net.columns if self.questions is None else tuple(self.questions)
        return Header(columns, provenance(self.net, self.questions, self.device, **self._limits))

    def on(self, device: torch.device) -> Work:
        work = copy.copy(self)
        work.device = device
        if hasattr(self.net, "to"):
            work.net = self.net.to(device).eval()
        return work

    def rows(self, sources: Iterable[ImageSource]) -> Generator[Row, None, None]:
        cost = scoring_bytes(self.net, self.device)
        images = prefetch(lambda source: read_image(source, **self._limits), sources, self._workers, scoring=cost)
        return rows_of_images(
            self.net, images, lambda source: source.name, self.questions, self.device, self._batch_size
        )


@dataclass(frozen=True)
class ScoringRun(Iterator[Row]):
    """An iterator that writes each row to the file, then yields it; ``kept`` is the number of an earlier run's rows."""

    header: Header
    names: tuple[str, ...] | None
    kept: int
    _rows: Generator[Row, None, None]

    def __next__(self) -> Row:
        return next(self._rows)

    def close(self) -> None:
        """Stop the run; ``resume`` continues the run."""
        self._rows.close()


@checked
def score_paths(
    metric: Any,
    paths: Paths,
    prompts: Questions = None,
    *,
    out: str | Path | Output | None = None,
    format: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **options: Unpack[ScoringOptions],
) -> ScoringRun:
    """Score images and yield their rows in input order, as ``clipiqa score`` does.

    An image that cannot be read or scored gets a row with an ``error``.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric('clipiqa')``.
        paths: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or objects with ``name`` and ``read()``.
        prompts: Questions as for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None means the metric's questions.
        out: A file to write the rows to.
        format: ``'csv'``, ``'jsonl'`` or ``'parquet'``; None uses the file's suffix.
        resume: Continue an interrupted run, and score its failed images again.
        overwrite: Replace an existing file.
        options: Options of reading and scoring, as in :class:`ScoringOptions`.

    Returns:
        An iterator of rows; it scores images while the caller iterates.

    Raises:
        CLIPIQAError: An argument cannot be used; or the file cannot be written, exists already, or is an image.
    """
    work = Work(metric, prompts, **options)
    header = work.header
    if out is None:
        return ScoringRun(header, None, 0, work.rows(sources_of(paths)))
    if not isinstance(out, Output):
        out = Output(Path(out), format or format_of(Path(out)), resume, overwrite)
    found = find_shards(paths)
    check_output(out.path, overwrite=True, inputs=(item.name for item in found.items))
    writer = open_results(out, header)
    todo = [item for item in found.items if printable(item.name) not in writer.done]
    sources = (source for source in sources_of(todo) if printable(source.name) not in writer.done)
    names = None if found.has_shards else tuple(printable(source.name) for source in todo)
    rows = _written(work.rows(sources), writer)
    next(rows)  # enters the writer's context; closing the run leaves the context
    return ScoringRun(header, names, len(writer.done), rows)


def rows_of_images(
    net: Any,
    images: Generator[tuple[Item, ImageRecord | ImageError], None, None],
    name_of: Callable[[Item], str],
    columns: Columns | None,
    device: torch.device,
    batch_size: int,
    apart: Callable[[Item], Hashable] | None = None,
) -> Generator[Row, None, None]:
    """Yield images' rows in order; ``name_of(item)`` names an image, ``apart`` is as for ``in_batches``."""

    def scored(items: list[Item], records: list[ImageRecord]) -> list[Row]:
        with torch.no_grad():  # not inference_mode: the metric keeps text features for a later backward pass
            x = stacked([record.pixels for record in records], device)
            scores = net.score(net.encode_image(x), columns)
        return list(map(_row, map(name_of, items), records, rounded(scores), map(flag, x)))

    def failed(item: Item, record: ImageRecord | None, error: ImageError) -> Row:
        if record is None:
            return Row(name_of(item), kind=error.kind, error=str(error))
        return _row(name_of(item), record, failure=error)

    return in_batches(images, scored, failed, batch_size=batch_size, apart=apart)


def rounded(scores: torch.Tensor) -> list[tuple[float, ...]]:
    """Return scores ``(N, P)`` with the fewest digits that give the same fp32 (32-bit) numbers."""
    return [tuple(float(str(value)) for value in row) for row in scores.float().cpu().numpy()]


def provenance(metric: Any, columns: Columns | None, device: torch.device, **limits: Any) -> dict[str, Any]:
    """Return everything that scores depend on, as JSON values."""
    net = net_of(metric)
    record = net.provenance()
    if device.type != "cpu":
        record.pop("cpu_arithmetic", None)
    usual = {"range": getattr(net, "score_range", (0.0, 1.0)), "lower_better": getattr(net, "lower_better", False)}
    scores = record.get("scores") or dict.fromkeys(net.columns, usual)
    return {
        **record,
        "scores": scores if columns is None else column_records(columns),
        **{name: limits.get(name, getattr(SharedOptions, name)) for name in _LIMITS},
        "device": device_name(device),
        "versions": {package: version(package) for package in ("pyiqa", "torch", "open_clip_torch", "pillow")},
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _row(
    name: str,
    record: ImageRecord,
    scores: tuple[float, ...] | None = None,
    flag: str = "",
    failure: ImageError | None = None,
) -> Row:
    if scores is not None and not all(map(math.isfinite, scores)):
        why = f"its score is not finite ({', '.join(map(str, scores))}); try precision fp32"
        scores, failure = None, ImageError(why, Kind.NOT_FINITE)
    size = (record.width, record.height, *record.size, record.orientation)
    row = Row(name, scores, *size, record.converted, flag)
    if failure is None:
        return row
    error = f"{name!r} cannot be scored: {failure.reason.rstrip('.')}."
    return replace(row, kind=failure.kind, error=error)


def _written(rows: Generator[Row, None, None], writer: ResultWriter) -> Generator[Any, None, None]:
    """Yield None, then each row after writing the row."""
    with writer, closing(rows):
        yield None
        for row in rows:
            writer.write(row)
            yield row
