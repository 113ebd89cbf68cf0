"""Shards scored by worker processes on a Ray cluster; the driver writes the results."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
from collections.abc import Sequence
from typing import Any

import torch

from ...errors import CLIPIQAError, counted
from ...images.memory import keep_memory
from ...images.source import reason
from ...sources.members import Shard, ShardError
from ..rows import Header
from ..score import Work, device_name
from .run import Job, Report, score_shard


class RayEngine:
    """An ``engine`` of :func:`clipiqa_pyiqa.score_sources` that scores shards on a Ray cluster.

    The cluster is the one at ``RAY_ADDRESS``, or a new one on this machine.

    Args:
        actors: The number of processes; None means as many as fit.
        cpus_per_actor: CPUs, and threads, of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs.
        retries: How often a shard starts again after its process is lost.
    """

    def __init__(
        self,
        actors: int | None = None,
        *,
        cpus_per_actor: float = 1.0,
        gpus_per_actor: float | None = None,
        retries: int = 3,
    ) -> None:
        self._size = actors, cpus_per_actor, gpus_per_actor
        self._retries = retries

    def __call__(self, work: Work, jobs: Sequence[Job], report: Report) -> None:
        ray = connected()
        most, cpus, gpus = _room(ray, *self._size)
        # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": self._retries, "max_calls": 0}
        score = ray.remote(**options, runtime_env={"env_vars": policy})(_score)
        shared = ray.put(work)
        under_way: dict[Any, tuple[Job, contextlib.ExitStack]] = {}  # reference -> the job, the lock of its result

        def finish() -> None:
            reference = ray.wait(list(under_way))[0][0]
            job, lock = under_way.pop(reference)
            with lock:
                try:
                    found = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    found = f"{job.shard.name!r} cannot be scored: {_in_short(error)}."
                except ray.exceptions.RayError as error:
                    attempts = f"{1 + self._retries} attempts"
                    found = f"{job.shard.name!r} was given up after {attempts}: {_in_short(error)}."
                if isinstance(found, str):
                    job.problem, count = found, 0
                else:
                    (rows, device), count = found, len(found[0])
                    job.header = Header(job.header.columns, {**job.header.provenance, "device": device})
                    job.save(rows)
                report(count, 1)

        for job in jobs:
            if len(under_way) == most:
                finish()
            if (lock := job.begin()) is None:
                report(0, 1)
            else:
                under_way[score.remote(shared, job.shard, gpus > 0)] = job, lock
        while under_way:
            finish()


def _score(work: Work, shard: Shard, gpu: bool) -> Any:
    """Return rows and the device's name; or the error of an unreadable shard."""
    keep_memory()
    device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
    try:
        return score_shard(work.on(device), shard), device_name(device)
    except ShardError as error:
        return str(error)


def connected() -> Any:
    """Return the module ``ray``, connected to a cluster. Raises ``CLIPIQAError`` if Ray or the cluster is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise CLIPIQAError("Ray is not installed: run `pip install 'clipiqa-pyiqa[ray]'`.") from error
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS") or "local"
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
    fits = int(min(all_cpus / max(cpus, 0.01), all_gpus / gpus if gpus else math.inf))
    if fits < (actors or 1):
        raise CLIPIQAError(
            f"{counted(actors or 1, 'actor')} of {cpus:g} CPUs and {gpus:g} GPUs do not fit into the cluster's "
            f"{all_cpus:g} CPUs and {all_gpus:g} GPUs: reduce actors, cpus_per_actor or gpus_per_actor."
        )
    return actors or fits, cpus, gpus


def _in_short(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {reason(cause)[:200]}"
