"""A callable that scores the images of a shard, or of a group of files, into tables of rows."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import pyarrow

from ...errors import Kind
from ...text import reason_of
from ..images.image import Image
from ..images.system_memory import keep_memory
from ..results.header import Header
from ..results.parquet_folder import IMAGES, SOURCE
from ..results.row import Row
from ..sources.videos import VideoShard
from .processes import Processes
from .setup import ScoringSetup
from .shard_task import ShardTask

ROWS_AT_ONCE = 50  # in a table


class ShardScorer:
    """A callable that scores the images of a task; each of Ray's actors has one, which builds the metrics once.

    Args:
        factory: Makes the set-up.
        header: The header of the results; ``schema`` is that of the files.
        working_folder: That of the first process, where paths may begin.
        is_careful: Score each image in a process of its own.
    """

    def __init__(
        self,
        factory: Callable[[], ScoringSetup],
        header: Header,
        schema: pyarrow.Schema,
        working_folder: str,
        is_careful: bool,
    ) -> None:
        self._factory = factory
        self._header = header
        self._schema = schema
        self._is_careful = is_careful
        if os.path.isdir(working_folder):
            os.chdir(working_folder)
        keep_memory()

    @cached_property
    def _setup(self) -> ScoringSetup:
        """The metrics, made with the first task: Ray would start an actor that fails earlier again without end."""
        return self._factory()

    @cached_property
    def _process(self) -> Processes:
        return Processes(1, partial(_scorer_of_images, self._factory))

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[pyarrow.Table]:
        cells = self._cells(pickle.loads(batch["task"][0]))
        while group := list(itertools.islice(cells, ROWS_AT_ONCE)):
            yield pyarrow.Table.from_pylist(group, self._schema)

    def _cells(self, task: ShardTask) -> Iterator[dict[str, Any]]:
        """Yield rows as column -> value; the last row of a shard holds the number of its images."""
        images = set(task.done)
        waiting: dict[str, Any] | None = None  # cells of the newest row, which may be the last one
        for row in self._rows(task):
            if row.path in images:
                continue
            images.add(row.path)
            if waiting is not None:
                yield waiting
            waiting = self._cells_of(row)
            waiting[SOURCE] = task.shard
        if waiting is not None:
            waiting[IMAGES] = len(images) if task.shard else None
            yield waiting

    def _rows(self, task: ShardTask) -> Iterator[Row]:
        try:
            if self._is_careful and not isinstance(task.content, VideoShard):  # frames cannot be sent to a process
                yield from map(self._row_of, task.images())
            else:
                yield from self._setup.rows(task.images())
        except Exception as error:  # such as that of weights that this machine lacks
            why = f"cannot be scored: {type(error).__name__}: {reason_of(error)[:200]}"
            yield from (Row(name, kind=Kind.OTHER, error=f"{name!r} {why}.") for name in task.names)

    def _row_of(self, image: Image) -> Row:
        row: Row | None = self._process(image)
        if row is None:
            why = f"{image.name!r} killed its process twice, perhaps as memory ran out."
            row = Row(image.name, kind=Kind.OTHER, error=why, stamp=image.stamp(), carried=image.carried)
        return row

    def _cells_of(self, row: Row) -> dict[str, Any]:
        cells = {**row.as_dict(self._header.score_names), **self._header.constants_beside_header}
        for name, column in self._header.carried.items():
            cell = row.carried.get(name)
            column_type = self._schema.field(column).type
            if column_type == pyarrow.string() and not isinstance(cell, str | None):
                cell = json.dumps(cell, ensure_ascii=False, default=str)
            try:
                cells[column] = pyarrow.scalar(cell, column_type).as_py()
            except (pyarrow.ArrowException, TypeError, ValueError):
                problem = f"{row.path!r} has {cell!r} in {name!r}, where other files have {column_type}."
                cells["kind"] = Kind.OTHER
                cells["error"] = f"{problem} {row.error}"
        return cells


def _scorer_of_images(factory: Callable[[], ScoringSetup]) -> Callable[[Image], Row]:
    setup = factory()
    return lambda image: next(setup.rows([image]))
