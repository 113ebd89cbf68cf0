"""Shards scored by actors on a Ray cluster; the driver writes the results."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch

from ...errors import CLIPIQAError, counted
from ...images.memory import keep_memory
from ...images.source import reason
from ...sources.stores import Shard, ShardError
from ..rows import Header, Row
from ..score import ScoringSetup, device_name
from .planning import Job
from .run import Outcomes, score_shard


@dataclass(frozen=True)
class RayEngine:
    """An ``engine`` of :func:`clipiqa_pyiqa.score_sources` that scores shards on a Ray cluster.

    The cluster is the one at ``RAY_ADDRESS``, or a new one on this machine.

    Args:
        actors: The number of processes; None means as many as fit.
        cpus_per_actor: CPUs, and threads, of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs.
        retries: How often a shard restarts after its process is lost.
    """

    actors: int | None = None
    _: KW_ONLY
    cpus_per_actor: float = 1.0
    gpus_per_actor: float | None = None
    retries: int = 3

    def __call__(self, work: ScoringSetup, jobs: Iterator[Job]) -> Outcomes:
        ray = connected()
        most, gpus = self._room(ray.cluster_resources())
        # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
        options = {"num_cpus": self.cpus_per_actor, "num_gpus": gpus}
        options |= {"max_restarts": -1, "max_task_retries": self.retries}

        # An actor loads modules with its first shard: Ray would restart an actor that dies earlier without end.
        class Actor:
            def score(self, score: Any, *arguments: Any) -> Any:
                return score(vars(self), *arguments)

        start = ray.remote(**options, runtime_env={"env_vars": policy})(Actor).remote
        shared = [ray.put(work)]  # in a list: Ray would load a bare argument again for each shard
        under_way: dict[Any, tuple[Any, Job]] = {}  # reference -> actor, job

        def finish() -> tuple[Any, tuple[Job, list[Row]]]:
            """Wait for a shard; return an actor for the next shard, and the job with its rows."""
            reference = ray.wait(list(under_way))[0][0]
            (actor, job), rows = under_way.pop(reference), list[Row]()
            try:
                rows, job.problem, device = ray.get(reference)
                job.header = Header(job.header.columns, {**job.header.provenance, "device": device})
            except ray.exceptions.RayTaskError as error:
                cause = getattr(error, "cause", None) or error
                why = f"{type(cause).__name__}: {reason(cause)[:200]}"
                job.problem = f"{job.shard.name!r} cannot be scored: {why}."
            except ray.exceptions.RayError as error:
                attempts = f"{counted(1 + self.retries, 'attempt')}: its process was lost each time"
                job.problem = f"{job.shard.name!r} was given up after {attempts} ({type(error).__name__})."
                ray.kill(actor)  # the next shard would fail if this actor is still restarting
                actor = start()
            return actor, (job, rows)

        try:
            for job in jobs:
                actor, outcome = finish() if len(under_way) == most else (start(), None)
                under_way[actor.score.remote(_score, shared, job.shard, gpus > 0)] = actor, job
                if outcome is not None:
                    yield outcome
            while under_way:
                actor, outcome = finish()
                ray.kill(actor)  # frees its CPUs and GPUs for an actor that waits for them
                yield outcome
        finally:
            for reference, (actor, _) in under_way.items():
                ray.cancel(reference)  # otherwise Ray would print that it tries the shard again
                ray.kill(actor)

    def _room(self, resources: Mapping[str, float]) -> tuple[int, float]:
        """Return the numbers of actors, and of GPUs per actor."""
        all_cpus, all_gpus, cpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0), self.cpus_per_actor
        gpus = float(all_gpus > 0) if self.gpus_per_actor is None else self.gpus_per_actor
        fits = int(min(all_cpus / max(cpus, 0.01), all_gpus / gpus if gpus else math.inf))
        if fits < (self.actors or 1):
            raise CLIPIQAError(
                f"{counted(self.actors or 1, 'actor')} of {cpus:g} CPUs and {gpus:g} GPUs do not fit into the "
                f"cluster's {all_cpus:g} CPUs and {all_gpus:g} GPUs: reduce `actors`, cpus_per_actor or gpus_per_actor."
            )
        return self.actors or fits, gpus


def _score(
    held: dict[str, ScoringSetup], shared: list[Any], shard: Shard, gpu: bool
) -> tuple[list[Row], str | None, str]:
    """Return rows, a problem, and the device; ``held`` keeps the work."""
    if not held:
        import ray

        keep_memory()
        work = ray.get(shared[0])
        device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
        held["work"] = work.on(device)
    work = held["work"]
    try:
        return list(score_shard(work, shard)), None, device_name(work.device)
    except ShardError as error:
        return [], str(error), device_name(work.device)


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
