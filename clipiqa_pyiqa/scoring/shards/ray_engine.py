"""Shards scored by actors on a Ray cluster; the driver writes the results."""

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
from ..score import ScoringSetup, device_name
from .run import Job, Report, score_shard


class RayEngine:
    """An ``engine`` of :func:`clipiqa_pyiqa.score_sources` that scores shards on a Ray cluster.

    The cluster is the one at ``RAY_ADDRESS``, or a new one on this machine.

    Args:
        actors: The number of processes; None means as many as fit.
        cpus_per_actor: CPUs, and threads, of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs.
        retries: How often a shard restarts after its process is lost.
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

    def __call__(self, work: ScoringSetup, jobs: Sequence[Job], report: Report) -> None:
        ray = connected()
        most, cpus, gpus = _room(ray, *self._size)
        # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": self._retries}

        # An actor loads modules with its first shard: Ray would restart an actor that dies earlier without end.
        class Actor:
            def score(self, score: Any, *arguments: Any) -> Any:
                return score(vars(self), *arguments)

        start = ray.remote(**options, runtime_env={"env_vars": policy})(Actor).remote
        shared = [ray.put(work)]  # in a list: Ray would load a bare argument again for each shard
        under_way: dict[Any, tuple[Any, Job, contextlib.ExitStack]] = {}  # reference -> actor, job, lock of the result

        def finish() -> Any:
            """Wait for a shard, save its rows or note its problem, and return an actor for the next shard."""
            reference = ray.wait(list(under_way))[0][0]
            actor, job, lock = under_way.pop(reference)
            with lock:
                try:
                    found = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    found = f"{job.shard.name!r} cannot be scored: {_in_short(error)}."
                except ray.exceptions.RayError as error:
                    attempts = f"{counted(1 + self._retries, 'attempt')}: its process was lost each time"
                    found = f"{job.shard.name!r} was given up after {attempts} ({type(error).__name__})."
                    ray.kill(actor)  # the next shard would fail if this actor is still restarting
                    actor = start()
                if isinstance(found, str):
                    job.problem, count = found, 0
                else:
                    (rows, device), count = found, len(found[0])
                    job.header = Header(job.header.columns, {**job.header.provenance, "device": device})
                    job.save(rows)
                report(count, 1)
            return actor

        try:
            for job in jobs:
                if (lock := job.begin()) is None:
                    report(0, 1)
                else:
                    actor = finish() if len(under_way) == most else start()
                    under_way[actor.score.remote(_score, shared, job.shard, gpus > 0)] = actor, job, lock
            while under_way:
                ray.kill(finish())  # frees its CPUs and GPUs for an actor that waits for them
        finally:
            for reference, (actor, _, lock) in under_way.items():
                ray.cancel(reference)  # otherwise Ray would print that it tries the shard again
                ray.kill(actor)
                lock.close()


def _score(held: dict[str, ScoringSetup], shared: list[Any], shard: Shard, gpu: bool) -> Any:
    """Return rows and device, or an unreadable shard's error; ``held`` keeps the work."""
    if not held:
        import ray

        keep_memory()
        work = ray.get(shared[0])
        device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
        held["work"] = work.on(device)
    work = held["work"]
    try:
        return score_shard(work, shard), device_name(work.device)
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
            f"{all_cpus:g} CPUs and {all_gpus:g} GPUs: reduce `actors`, cpus_per_actor or gpus_per_actor."
        )
    return actors or fits, cpus, gpus


def _in_short(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {reason(cause)[:200]}"
