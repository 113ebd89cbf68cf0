"""A Ray cluster: the connection to it, and actors that write rows of scores into a folder."""

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

import pyarrow

from ..errors import CLIPIQAError
from ..text import counted, pip_install, reason_of
from .results.header import Header
from .results.parquet_folder import ParquetFolder
from .scoring.setup import ScoringSetup
from .scoring.shard_scorer import ShardScorer
from .scoring.shard_task import ShardTask

BLOCK_BYTES = 1 << 18  # of rows, some 700, that Ray writes at once: an actor that is lost loses at most these
_WRITING = 0.25  # cores that a task of writing takes
_FREE = 0.5  # cores that no actor takes, since Ray stalls if it cannot write


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
                f"{all_cpus:g} cores, of which writing takes {_WRITING}, and {all_gpus:g} GPUs: reduce `actors`, "
                "cpus_per_actor or gpus_per_actor.",
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
