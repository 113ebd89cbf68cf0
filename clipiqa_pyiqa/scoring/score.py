"""Scores of many images: one row per image, in input order."""

from __future__ import annotations

import copy
import inspect
import math
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from ..errors import OptionError
from ..errors.arguments import SharedOptions, checked
from ..files.writing import check_output
from ..images.reader import MIN_SIDE, Damaged, ImageRecord, check_limits, read_image
from ..images.source import ImageSource, stamp_of
from ..metric import find_device
from ..prompts.pairs import PromptPair, Prompts
from ..sources.finding import find_shards
from ..sources.inputs import sources_of
from ..sources.shards import Shard
from .engine import Options, Task, plan, score_items
from .metrics import MetricSet, metric_set
from .result_files import EarlierRun, FileWriter, Output, format_of, open_results
from .rows import Header, Row, printable

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

_read_image = inspect.unwrap(read_image)  # ScoringSetup has checked its options, once for all images
_LIMITS = ("apply_exif", "max_side", "max_pixels", "damaged")
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


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A source of an image as an item; ``stamped`` asks for its stamp."""

    source: ImageSource
    reading: Mapping[str, Any]
    stamped: bool = False

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def kept(self) -> Mapping[str, Any]:
        return getattr(self.source, "kept", {})

    def stamp(self) -> str | None:
        return stamp_of(self.source) if self.stamped else None

    def load(self) -> ImageRecord:
        record: ImageRecord = _read_image(self.source, **self.reading)
        return record


class ScoringSetup:
    """The checked metrics, questions and options of :func:`score_paths`."""

    def __init__(
        self,
        metric: Any,
        prompts: Questions = None,
        *,
        trust_weights: bool = False,
        strict: bool = False,
        **options: Unpack[ScoringOptions],
    ) -> None:
        if unknown := options.keys() - ScoringOptions.__annotations__.keys():
            known = ", ".join(ScoringOptions.__annotations__)
            raise OptionError(f"there is no option {min(unknown)}: known options are {known}.")
        images = SharedOptions(**options)  # type: ignore[arg-type]
        check_limits(images.max_side, images.max_pixels)
        self.options = Options(find_device(images.device), images.batch_size, images.workers)
        self.metrics = metric_set(metric, prompts, self.device, trust_weights=trust_weights, strict=strict)
        self.limits = {name: getattr(images, name) for name in _LIMITS}

    @property
    def device(self) -> torch.device:
        return self.options.device

    @property
    def header(self) -> Header:
        return Header(self.metrics.columns, provenance(self.metrics, self.device, **self.limits))

    def on(self, device: torch.device) -> ScoringSetup:
        setup = copy.copy(self)
        setup.options, setup.metrics = replace(self.options, device=device), self.metrics.on(device)
        return setup

    def items(self, sources: Iterable[ImageSource], stamped: bool = False) -> Iterator[SourceItem]:
        # a metric of pyiqa has a smallest side of its own
        reading = {**self.limits, "min_side": 1 if self.metrics.foreign else MIN_SIDE}
        return (SourceItem(source, reading, stamped) for source in sources)

    def rows(self, sources: Iterable[ImageSource], stamped: bool = False) -> Generator[Row, None, None]:
        tasks = plan(self.items(sources, stamped), self.metrics, self.options)
        return score_items(tasks, self.metrics, self.options)


class ScoringRun(Iterator[Row]):
    """An iterator that writes each row to the file, then yields it.

    Attributes:
        names: Images to score; None if shards hold them.
        earlier: What is known of an earlier run.
    """

    def __init__(
        self,
        header: Header,
        rows: Generator[Row, None, None],
        writer: FileWriter | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self.header, self.names, self._rows, self.earlier = header, names, rows, EarlierRun()
        if writer is not None:
            self._rows, self.earlier = _write_rows(rows, writer), writer.earlier
            next(self._rows)  # enters the writer's context; closing the run leaves the context

    def __next__(self) -> Row:
        return next(self._rows)

    def close(self) -> None:
        self._rows.close()

    def frame(self) -> pandas.DataFrame:
        """Return the rows with index ``path``, a column for each question (NaN: no score), ``flag`` and ``error``."""
        import pandas

        rows, columns = list(self), list(self.header.columns)
        index = pandas.Index([row.path for row in rows], name="path", dtype=object)
        scores = [row.scores or (math.nan,) * len(columns) for row in rows]
        frame = pandas.DataFrame(scores, index, columns, float)
        return frame.assign(flag=[row.flag for row in rows], error=[row.error for row in rows])


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
    trust_weights: bool = False,
    strict: bool = False,
    **options: Unpack[ScoringOptions],
) -> ScoringRun:
    """Score images and yield their rows in input order, as ``clipiqa score`` does.

    An image that cannot be read or scored gets a row with an ``error``.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric``; or a list of pyiqa's names (``'niqe'``,
            ``'mine=niqe:pretrained_model_path=FILE'``) and such objects, one column each.
        paths: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or objects with ``name`` and ``read()``.
        prompts: Questions as for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None means the metric's questions.
        out: A file to write the rows to.
        format: ``'csv'``, ``'jsonl'`` or ``'parquet'``; None uses the file's suffix.
        resume: Continue an interrupted run, and score its failed images again.
        overwrite: Replace an existing file.
        trust_weights: Let pyiqa load files and URLs that could run code.
        strict: Raise before scoring if a metric cannot be built.
        options: Options of reading and scoring, as in :class:`ScoringOptions`.

    Returns:
        An iterator of rows, which scores while the caller iterates.

    Raises:
        CLIPIQAError: An argument cannot be used; or the file cannot be written, exists already, or is an image.
    """
    setup = ScoringSetup(metric, prompts, trust_weights=trust_weights, strict=strict, **options)
    header = setup.header
    if not isinstance(out, Output | None):
        out = Output(Path(out), format or format_of(Path(out)), resume, overwrite)
    found = find_shards(paths)
    names = None if found.has_shards else tuple(printable(item.name) for item in found.items)
    setup.options = replace(setup.options, count=None if names is None else len(names))
    if out is None:
        return ScoringRun(header, setup.rows(sources_of(found.items)), names=names)
    check_output(out.path, overwrite=True, inputs=(item.name for item in found.items))
    writer = open_results(out, header, setup.metrics.can_resume)
    known = writer.earlier.knows if writer.earlier else None
    items = setup.items(sources_of(found.items), stamped=True)
    tasks: Iterable[Task] = plan(items, setup.metrics, setup.options, known)
    if known is not None and names is not None:
        tasks = list(tasks)
        names = tuple(printable(task.item.name) for task in tasks)
        writer.earlier.kept = len(found.items) - len(names)
    return ScoringRun(header, score_items(tasks, setup.metrics, setup.options), writer, names)


def provenance(metrics: MetricSet, device: torch.device, **limits: Any) -> dict[str, Any]:
    record = metrics.provenance()
    if device.type != "cpu":
        record.pop("cpu_arithmetic", None)
    packages = ("pyiqa", "torch", "open_clip_torch", "pillow")
    return {
        **record,
        **limits,
        "device": device_name(device),
        "versions": {name: version(name) for name in packages if name != "pyiqa" or find_spec(name)},
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _write_rows(rows: Generator[Row, None, None], writer: FileWriter) -> Generator[Any, None, None]:
    with writer, closing(rows):
        yield None
        for row in rows:
            writer.write(row)
            yield row
