"""Big runs: Ray Data hands out shards and files, actors score them, and Ray Data writes their rows as Parquet files.

The rows in the folder are the memory of a run. A shard's last row holds the number of its images, so that a finished
shard is not opened again. Ray drops what a lost process had not written, so after each pass the rows are counted, and
what is missing is scored in the next pass; in the last pass, each image is scored in a process of its own, so that an
image that kills its process becomes a row.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import pyarrow

from ..checks import FilePath, check_list, check_number, check_whole_or_none
from ..errors import CLIPIQAError
from ..logger import log
from ..options import lists_options
from ..text import counted, pip_install, reason_of
from .metrics.description import Takes
from .metrics.parsing import AnyPrompts
from .options import RunOptions, SharedOptions
from .results.header import Header
from .results.parquet_folder import ParquetFolder
from .scoring.folder_plan import FolderPlan, StaleRows
from .scoring.folder_result import FolderResult
from .scoring.folder_rows import FolderRows
from .scoring.setup import ScoringSetup
from .scoring.shard_scorer import ShardScorer
from .scoring.shard_task import ShardTask
from .sources.finding import find_sources, tell_skipped
from .sources.found_sources import FoundSources
from .sources.parquet import carried_types
from .sources.sampling import SAMPLING

PASSES = 3
BLOCK_BYTES = 1 << 18  # of rows, some 700, that Ray writes at once: an actor that is lost loses at most these
_WRITING = 0.25  # cores that a task of writing takes
_FREE = 0.5  # cores that no actor takes, since Ray stalls if it cannot write


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
        sources: Paths as for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_sources`, images or shards.
        out: The folder, on a disk that all machines share or in a store; :func:`.read_scores` reads it.
        image_column: Column of images in Parquet files; None finds it.
        actors: Number of processes that score; None means as many as fit.
        cpus_per_actor: Cores of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs and ``device`` is not ``'cpu'``.
        progress: Show Ray's bars of progress.

    Raises:
        CLIPIQAError: Ray or its cluster is missing, nothing can be scored, or ``out`` was made in another way.
    """
    check_list("keep", keep)
    check_whole_or_none("actors", actors, 1, 4096)
    check_number("cpus_per_actor", cpus_per_actor, least=0)
    check_number("gpus_per_actor", 0 if gpus_per_actor is None else gpus_per_actor, least=0)
    if not isinstance(sources, FoundSources):
        sources = find_sources(sources, keep=keep, image_column=image_column, sampling=sampling)
        tell_skipped(sources)
    if sources.is_empty:
        raise CLIPIQAError(f"{sources.problem or 'no source was given'}: there is nothing to score.")
    setup = ScoringSetup(metric, prompts, also=(Takes.NAME,), sampling=sampling, **options)
    if setup.metrics.files:
        label = setup.metrics.files[0].label
        raise CLIPIQAError(f"the scores of {label!r} are in a file: join them with the results on Ray by `path`.")
    folder = ParquetFolder.at(out)
    # tuples become lists, as in the header in the folder, with which this one is compared
    header = Header.of(setup.header_with(keep).record)
    with folder.locked():
        before = folder.earlier_header(header, resume)
        if before is not None:
            header = header.with_scored_columns(before)
        rows = FolderRows(folder, sources.sources)
        plan = FolderPlan(rows, header)
        folder.remove_cut_files()
        stale = None if before is None else plan.stale_rows(before, drop_vanished)
        if stale is not None:
            _log_what_is_kept(stale, plan.unknown_columns)
            folder.remove_rows(stale.rows)
        folder.remove_rows(plan.repeated_rows())
        tasks = plan.missing()
        if tasks:  # otherwise Ray need not start, which takes seconds
            connect()
            pool = ActorPool.of(setup, actors, cpus_per_actor, _gpus(gpus_per_actor, options), progress)
        folder.save_header(header, is_new=before is None)
        schema = folder.schema(header, carried_types(sources.sources, keep))
        for number in range(1, PASSES + 1):
            if tasks:
                pool.score(tasks, folder, header, schema, is_careful=number == PASSES)
                folder.remove_cut_files()
                folder.remove_rows(plan.repeated_rows())
                tasks = plan.missing()
        folder.save_header(header, is_finished=True)
        return FolderResult.of(rows, header, [name for task in tasks for name in task.names], stale)


def _gpus(gpus_per_actor: float | None, options: RunOptions) -> float | None:
    """Return the GPUs of each process: none if the user asks for a CPU and says no number."""
    if gpus_per_actor is None and str(options.get("device")) == "cpu":
        return 0.0
    return gpus_per_actor


def _log_what_is_kept(stale: StaleRows, unknown_columns: Sequence[str]) -> None:
    """Log how many rows of an earlier run are kept, and whose scores are all made again."""
    if unknown_columns:
        log.warning(f"{unknown_columns[0]} scores all images again, since its changes cannot be seen.")
    log.info(stale.sentence())


@dataclass(frozen=True)
class ActorPool:
    """Actors of a cluster.

    Attributes:
        factory: Makes the set-up of an actor.
        size: Number of actors.
        cpus, gpus: Those of each actor.
        has_bars: Whether Ray shows bars of progress.
    """

    factory: Callable[[], ScoringSetup]
    size: int
    cpus: float
    gpus: float
    has_bars: bool

    @classmethod
    def of(cls, setup: ScoringSetup, actors: int | None, cpus: float, gpus: float | None, has_bars: bool) -> ActorPool:
        """Return the pool that fits into the cluster. Raises ``CLIPIQAError``."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        all_gpus = sum(machine.get("GPU", 0.0) for machine in machines)
        all_cpus = sum(machine.get("CPU", 0.0) for machine in machines)
        if gpus is None:
            gpus = 1.0 if all_gpus else 0.0
        most_actors = sum(_actors_on(machine, cpus, gpus) for machine in machines)
        has_room = all_cpus - most_actors * cpus >= _FREE
        size = actors or max(1, most_actors if has_room else most_actors - 1)
        if size > most_actors or size * cpus + _WRITING > all_cpus:  # Ray would wait without a word
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
        return cls(partial(setup.factory, device=device), size, cpus, gpus, has_bars)

    def score(
        self,
        tasks: Sequence[ShardTask],
        folder: ParquetFolder,
        header: Header,
        schema: pyarrow.Schema,
        is_careful: bool,
    ) -> None:
        """Write the rows of these tasks into the folder, but for what lost processes had not written."""
        import ray
        from fsspec.core import url_to_fs

        store, path = url_to_fs(folder.path)
        pickled_tasks = [{"task": ray.cloudpickle.dumps(task)} for task in tasks]
        with _quiet():
            dataset = ray.data.from_items(pickled_tasks, override_num_blocks=len(tasks))
            context = dataset.context
            context.enable_progress_bars = self.has_bars
            context.max_errored_blocks = -1  # what a lost process had not written is scored in the next pass
            context.target_max_block_size = BLOCK_BYTES
            rows = dataset.map_batches(
                ShardScorer,
                fn_constructor_args=(self.factory, header, schema, os.getcwd(), is_careful),
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


def _actors_on(machine: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many actors with so many cores and GPUs fit on a machine, whose resources Ray tells."""
    by_cpus = machine.get("CPU", 0.0) / cpus if cpus else math.inf
    by_gpus = machine.get("GPU", 0.0) / gpus if gpus else math.inf
    return int(min(by_cpus, by_gpus))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop Ray Data's log in this context: the rows tell what lost processes cost."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # no other argument sets max_task_retries
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
            yield
    finally:
        logger.setLevel(level)


def connect() -> None:
    """Connect to the cluster of ``RAY_ADDRESS``, to that of this machine, or to a new one on this machine.

    Ray's own reports and warnings are switched off by variables of the environment, unless the user has set these.
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
        if not address:
            raise CLIPIQAError(f"Ray could not start on this machine: {reason_of(error)}.") from error
        raise CLIPIQAError(
            f"there is no Ray cluster at {address!r}: start one (ray start --head), or correct or unset RAY_ADDRESS."
        ) from error
