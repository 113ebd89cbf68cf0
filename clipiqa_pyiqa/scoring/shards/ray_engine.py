"""Shards scored by actors on a Ray cluster; the driver writes the results."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from ...errors import CLIPIQAError, counted
from ...images.memory import give_back_memory, keep_memory
from ...images.source import reason
from ...sources.members import Shard, ShardError
from ..rows import Header
from ..score import Work, device_name
from .run import Job, Report, score_shard

RETRIES = 3
_START_SECONDS = 600.0  # the time that a busy cluster has to start the first actor


class RayEngine:
    """An ``engine`` of :func:`clipiqa_pyiqa.score_sources` that scores shards on a Ray cluster.

    Args:
        actors: The number of processes; None means as many as fit.
        cpus_per_actor: CPUs, and threads, of each actor.
        gpus_per_actor: GPUs of each actor; None means 1 if the cluster has GPUs.
        address: The cluster's address; None means ``RAY_ADDRESS``, or a new cluster on this machine.
        retries: How often a shard starts again after its actor is lost.
    """

    def __init__(
        self,
        actors: int | None = None,
        *,
        cpus_per_actor: float = 1.0,
        gpus_per_actor: float | None = None,
        address: str | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._size = actors, cpus_per_actor, gpus_per_actor
        self._address, self._retries = address, retries

    def __call__(self, work: Work, jobs: Sequence[Job], report: Report) -> None:
        ray = connected(self._address)
        count, cpus, gpus = _room(ray, *self._size)
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_task_retries": self._retries}
        options["max_restarts"] = (1 + self._retries) * len(jobs)
        # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
        actor = ray.remote(**options, runtime_env={"env_vars": policy})(Actor)
        shared, todo, failure = ray.put(work), iter(jobs), ""
        # reference -> the actor, its job (None while it starts), the lock of the job's result
        under_way: dict[Any, tuple[Any, Job | None, contextlib.ExitStack]] = {}
        with contextlib.ExitStack() as at_end:
            for _ in range(min(count, len(jobs))):
                handle = actor.remote(shared, gpus > 0)
                at_end.callback(ray.kill, handle)
                under_way[handle.start.remote()] = handle, None, contextlib.ExitStack()
            if under_way and not ray.wait(list(under_way), timeout=_START_SECONDS)[0]:
                raise CLIPIQAError(f"no actor could start within {_START_SECONDS:g} seconds: the cluster is busy.")
            while under_way:
                reference = ray.wait(list(under_way))[0][0]
                handle, job, lock = under_way.pop(reference)
                with lock:
                    try:
                        found = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        is_lost = not isinstance(error, ray.exceptions.RayTaskError)
                        failure = _last_line(error)
                        if job is None:
                            continue
                        why = f"was given up after {1 + self._retries} attempts" if is_lost else "cannot be scored"
                        found = f"{job.shard.name!r} {why}: {failure}."
                    if job is not None:
                        report(_finish(job, found), 1)
                for job in todo:
                    if (held := job.begin()) is not None:
                        at_end.push(held)
                        under_way[handle.score.remote(job.shard)] = handle, job, held
                        break
                    report(0, 1)
        if next(todo, None) is not None:
            raise CLIPIQAError(f"the actors cannot start: {failure}.")


def _finish(job: Job, found: Any) -> int:
    if isinstance(found, str):
        job.problem = found
        return 0
    rows, skipped, device = found
    job.header = Header(job.header.columns, {**job.header.provenance, "device": device})
    job.save(rows, skipped)
    return len(rows)


class Actor:
    def __init__(self, work: Work, gpu: bool) -> None:
        keep_memory()
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
        self._work = work.on(device)

    def start(self) -> None:
        """Return when the actor runs."""

    def score(self, shard: Shard) -> Any:
        """Return rows, skipped photos and the device's name; or the error of an unreadable shard."""
        try:
            rows, skipped = score_shard(self._work, shard)
        except ShardError as error:
            return str(error)
        give_back_memory()
        return rows, skipped, device_name(self._work.device)


def connected(address: str | None) -> Any:
    """Return the module ``ray``, connected to a cluster. Raises ``CLIPIQAError`` if Ray or the cluster is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise CLIPIQAError("Ray is not installed: run `pip install 'clipiqa-pyiqa[ray]'`.") from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    dashboard = False if address == "local" else None
    try:
        if address not in ("auto", "local"):  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise CLIPIQAError(
            f"there is no Ray cluster at {address!r}: start one (ray start --head), or correct or unset RAY_ADDRESS."
        ) from error
    return ray


def _room(ray: Any, actors: int | None, cpus: float, gpus: float | None) -> tuple[int, float, float]:
    resources = ray.cluster_resources()
    all_cpus, all_gpus = float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
    gpus = float(all_gpus > 0) if gpus is None else gpus
    if actors is None:
        fits = min(all_gpus / gpus if gpus else math.inf, all_cpus / cpus if cpus else math.inf)
        actors = max(1, int(fits)) if math.isfinite(fits) else 1
    if actors * gpus > all_gpus or actors * cpus > all_cpus:
        raise CLIPIQAError(
            f"{counted(actors, 'actor')} of {cpus:g} CPUs and {gpus:g} GPUs do not fit into the cluster's "
            f"{all_cpus:g} CPUs and {all_gpus:g} GPUs: reduce actors, cpus_per_actor or gpus_per_actor."
        )
    return actors, cpus, gpus


def _last_line(error: BaseException) -> str:
    name = type(getattr(error, "cause", None) or error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{name}: {reason(ValueError(lines[-1] if lines else name))[:200]}"
