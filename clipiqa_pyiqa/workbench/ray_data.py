"""Big runs: Ray Data hands out shards and files, actors score them, and Ray Data writes their rows as Parquet files.

The rows in the folder are the memory of a run. A shard's last row holds the number of its images, so that a finished
shard is not opened again. Ray drops what a lost process had not written, so after each pass the rows are counted, and
what is missing is scored in the next pass; in the last pass, each image is scored in a process of its own, so that an
image that kills its process becomes a row.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Unpack

import pyarrow

from ..checks import FilePath, check_list, check_whole_or_none
from ..errors import CLIPIQAError, Kind
from ..options import lists_options
from ..text import counted, pip_install, reason
from .images.image import Image
from .images.memory import keep_memory
from .metrics.description import Takes
from .metrics.parsing import AnyPrompts
from .options import RunOptions, SharedOptions
from .results.formats import Head
from .results.parquet_folder import IMAGES, SOURCE, ParquetFolder
from .results.row import Row
from .scoring.folder_plan import FolderPlan, FolderResult, Work
from .scoring.processes import Processes
from .scoring.score import ScoringSetup
from .sources.finding import Found, find_shards
from .sources.parquet import carried_types
from .sources.videos import SAMPLING, VideoShard

PASSES = 3
BLOCK_BYTES = 1 << 18  # of rows, some 700, that Ray writes at once: an actor that is lost loses at most these
_ROWS = 50  # that an actor hands to Ray at once
_WRITING = 0.25  # cores that a task of writing takes
_FREE = 0.5  # cores that no actor takes, since Ray stalls if it cannot write


class ShardScorer:
    """A callable that scores the images of a task; each of Ray's actors has one, which builds the metrics once.

    Args:
        setup: Makes the metrics for a device.
        head: The head of the results; ``schema`` is that of the files.
        careful: Score each image in a process of its own.
    """

    def __init__(
        self, setup: Callable[[], ScoringSetup], head: Head, schema: pyarrow.Schema, folder: str, careful: bool
    ) -> None:
        self._make_setup, self._head, self._schema, self._is_careful = setup, head, schema, careful
        if os.path.isdir(folder):  # that of the first process, where paths may begin
            os.chdir(folder)
        keep_memory()

    @cached_property
    def _setup(self) -> ScoringSetup:
        """The metrics, made with the first task: Ray would start an actor that fails earlier again without end."""
        return self._make_setup()

    @cached_property
    def _process(self) -> Processes:
        return Processes(1, partial(_scorer_of_images, self._make_setup))

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[pyarrow.Table]:
        cells = self._cells(pickle.loads(batch["work"][0]))
        while group := list(itertools.islice(cells, _ROWS)):
            yield pyarrow.Table.from_pylist(group, self._schema)

    def _cells(self, work: Work) -> Iterator[dict[str, Any]]:
        """Yield rows as column -> value; the last row of a shard holds the number of its images."""
        seen, last = set(work.done), None
        for row in self._rows(work):
            if row.path in seen:
                continue
            seen.add(row.path)
            if last is not None:
                yield last
            last = self._cells_of(row)
            last[SOURCE] = work.shard
        if last is not None:
            last[IMAGES] = len(seen) if work.shard else None
            yield last

    def _rows(self, work: Work) -> Iterator[Row]:
        try:
            if self._is_careful and not isinstance(work.source, VideoShard):  # frames cannot be sent to a process
                yield from map(self._row_of, work.images())
            else:
                yield from self._setup.rows(work.images())
        except Exception as error:  # such as that of weights that this machine lacks
            why = f"cannot be scored: {type(error).__name__}: {reason(error)[:200]}"
            yield from (Row(name, kind=Kind.OTHER, error=f"{name!r} {why}.") for name in work.names)

    def _row_of(self, image: Image) -> Row:
        row: Row | None = self._process(image)
        if row is None:
            why = f"{image.name!r} killed its process twice, perhaps as memory ran out."
            row = Row(image.name, kind=Kind.OTHER, error=why, stamp=image.stamp() or "", carried=image.carried)
        return row

    def _cells_of(self, row: Row) -> dict[str, Any]:
        cells = {**row.as_dict(self._head.scores), **self._head.constants_beside_head}
        for name, column in self._head.carried.items():
            value = row.carried.get(name)
            kind = self._schema.field(column).type
            if kind == pyarrow.string() and not isinstance(value, str | None):
                value = json.dumps(value, ensure_ascii=False, default=str)
            try:
                cells[column] = pyarrow.scalar(value, kind).as_py()
            except (pyarrow.ArrowException, TypeError, ValueError):
                cells["kind"] = Kind.OTHER
                cells["error"] = f"{row.path!r} has {value!r} in {name!r}, where other files have {kind}. {row.error}"
        return cells


def _scorer_of_images(setup: Callable[[], ScoringSetup]) -> Callable[[Image], Row]:
    made = setup()
    return lambda image: next(made.rows([image]))


@lists_options(RunOptions, of=SharedOptions)
def score_on_ray(
    metric: Any,
    sources: Any,
    out: FilePath,
    prompts: AnyPrompts = None,
    *,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    resume: bool = False,
    drop_vanished: bool = False,
    sampling: str = SAMPLING,
    actors: int | None = None,
    cpus_per_actor: float = 1.0,
    gpus_per_actor: float | None = None,
    progress: bool = False,
    **options: Unpack[RunOptions],
) -> FolderResult:
    """Score images on a Ray cluster into a folder of Parquet files, as ``clipiqa score --engine ray`` does.

    Rows have the columns of a file of :func:`~clipiqa_pyiqa.score_paths`, and two more: ``source``, the shard, and
    ``images``, in one row of a shard the number of its images. The cluster is that of ``RAY_ADDRESS``, or that of
    this machine, or a new one on this machine.

    Args:
        metric, prompts, keep, resume, drop_vanished, sampling, options: As for :func:`~clipiqa_pyiqa.score_paths`.
        sources: Paths as for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_shards`, images or shards.
        out: The folder, on a disk that all machines share or in a store; :func:`.read_scores` reads it.
        image_column: Column of images in Parquet files; None finds it.
        actors: Number of processes that score; None means as many as fit.
        cpus_per_actor: Cores of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs.
        progress: Show Ray's bars of progress.

    Raises:
        CLIPIQAError: Ray or its cluster is missing, nothing can be scored, or ``out`` was made in another way.
    """
    check_list("keep", keep)
    check_whole_or_none("actors", actors, 1, 4096)
    found = sources
    if not isinstance(found, Found):
        found = find_shards(sources, keep=keep, image_column=image_column, sampling=sampling)
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem or 'no source was given'}: there is nothing to score.")
    setup = ScoringSetup(metric, prompts, also=(Takes.NAME,), sampling=sampling, **options)
    if setup.metrics.files:
        label = setup.metrics.files[0].label
        raise CLIPIQAError(f"the scores of {label!r} are in a file: join them with the results on Ray by `path`.")
    folder = ParquetFolder.at(out)
    head = setup.head
    if keep:
        head = replace(head, reading={**head.reading, "keep": list(keep)})
    head = Head.of(head.record)  # as read from a file
    with folder.locked():
        before = folder.continued(head, resume)
        plan = FolderPlan(folder, head, found.items)
        if before is not None:
            plan.remove_stale(before, drop_vanished)
        works = plan.missing()
        if works:  # otherwise Ray need not start, which takes seconds
            connect()
            pool = ActorPool.of(setup, actors, cpus_per_actor, gpus_per_actor, progress)
        folder.save_head(head, is_new=before is None)
        schema = folder.schema(head, carried_types(found.items, keep))
        for number in range(1, PASSES + 1):
            if works:
                pool.score(works, folder, head, schema, is_careful=number == PASSES)
                works = plan.missing()
        folder.save_head(head, is_finished=True)
        return plan.result(works)


@dataclass(frozen=True)
class ActorPool:
    """Actors of a cluster.

    Attributes:
        setup: Makes the metrics of an actor.
        size: Number of actors.
    """

    setup: Callable[[], ScoringSetup]
    size: int
    cpus: float
    gpus: float
    progress: bool

    @classmethod
    def of(cls, setup: ScoringSetup, actors: int | None, cpus: float, gpus: float | None, progress: bool) -> ActorPool:
        """Return the pool that fits into the cluster. Raises ``CLIPIQAError``."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        all_gpus = sum(machine.get("GPU", 0.0) for machine in machines)
        all_cpus = sum(machine.get("CPU", 0.0) for machine in machines)
        gpus = float(all_gpus > 0) if gpus is None else gpus
        fits = 0
        for machine in machines:
            by_cpus = machine.get("CPU", 0.0) / cpus if cpus else math.inf
            by_gpus = machine.get("GPU", 0.0) / gpus if gpus else math.inf
            fits += int(min(by_cpus, by_gpus))
        has_room = all_cpus - fits * cpus >= _FREE
        size = actors or max(1, fits if has_room else fits - 1)
        if size > fits or size * cpus + _WRITING > all_cpus:  # Ray would wait without a word
            raise CLIPIQAError(
                f"{counted(size, 'actor')} of {cpus:g} cores and {gpus:g} GPUs do not fit into the cluster's "
                f"{all_cpus:g} cores, of which writing takes {_WRITING}, and {all_gpus:g} GPUs: reduce `{{actors}}`, "
                "{cpus_per_actor} or {gpus_per_actor}.",
                options=("actors", "gpus_per_actor", "cpus_per_actor"),
            )
        device = str(setup.device)
        if gpus:
            device = "cuda"
        elif setup.device.type == "cuda":
            device = "cpu"
        return cls(partial(setup.elsewhere, device=device), size, cpus, gpus, progress)

    def score(
        self, works: Sequence[Work], folder: ParquetFolder, head: Head, schema: pyarrow.Schema, is_careful: bool
    ) -> None:
        """Write the rows of these tasks into the folder, but for what lost processes had not written."""
        import ray
        from fsspec.core import url_to_fs

        store, path = url_to_fs(folder.path)
        tasks = [{"work": ray.cloudpickle.dumps(work)} for work in works]
        with _quiet():
            dataset = ray.data.from_items(tasks, override_num_blocks=len(tasks))
            context = dataset.context
            context.enable_progress_bars = self.progress
            context.max_errored_blocks = -1  # what a lost process had not written is scored in the next pass
            context.target_max_block_size = BLOCK_BYTES
            rows = dataset.map_batches(
                ShardScorer,
                fn_constructor_args=(self.setup, head, schema, os.getcwd(), is_careful),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(self.size, len(tasks)), max_tasks_in_flight_per_actor=1),
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                max_task_retries=0,  # an image that kills its process would be tried again without end
                # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
                runtime_env={"env_vars": {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}},
            )
            rows.write_parquet(
                path, filesystem=store, schema=schema, write_page_checksum=True, ray_remote_args={"num_cpus": _WRITING}
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop Ray Data's log in this context: the rows tell what lost processes cost."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # there is no other max_task_retries
            yield
    finally:
        logger.setLevel(level)


def connect() -> None:
    """Connect to the cluster of ``RAY_ADDRESS``, to that of this machine, or to a new one on this machine.

    Raises ``CLIPIQAError`` if Ray or the cluster is missing.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray.data
    except ImportError as error:
        raise CLIPIQAError(f"Ray is not installed: run {pip_install(['ray'])}.") from error
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        if ":" in address:  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise CLIPIQAError(
            f"there is no Ray cluster at {address!r}: start one (ray start --head), or correct or unset RAY_ADDRESS."
        ) from error
