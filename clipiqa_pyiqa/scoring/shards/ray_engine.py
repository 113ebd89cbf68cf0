"""Shards scored on a Ray cluster: an actor scores whole shards with the local loop, the driver writes their results.

Ray restarts an actor that was lost, and with it the shard that it was scoring, a bounded number of times.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import socket
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import CLIPIQAError, counted
from ...images.memory import give_back_memory, keep_memory
from ...images.source import reason
from ...sources.members import Shard, ShardError
from ..rows import Header
from .files import ShardRows
from .jobs import Job
from .work import Work

RETRIES = 3
_START_SECONDS = 600.0  # for the first actor to start, on a cluster that is busy or slow

logger = logging.getLogger("clipiqa_pyiqa")


class RayEngine:
    """Scores shards on a Ray cluster: the ``engine`` of :func:`clipiqa_pyiqa.score_sources`.

    Args:
        actors: Processes that score, each with one frozen CLIP; None is as many as there is room for.
        cpus_per_actor: CPUs of each; Ray gives torch as many threads (at least one).
        gpus_per_actor: GPUs of each, also a fraction; None is 1 where the cluster has any, else 0.
        address: Of the cluster; None is ``RAY_ADDRESS``, or a cluster of its own on this machine.
        retries: How often a shard starts again after its actor was lost.
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
        self._asked = actors, cpus_per_actor, gpus_per_actor
        self._address, self._retries = address, retries

    def __call__(self, work: Work, jobs: Sequence[Job], report: Callable[[int, float], object]) -> None:
        """Score shards; the arguments are those of ``score_locally``."""
        ray = connected(self._address)
        count, cpus, gpus = _room(ray, *self._asked)
        restarts = (1 + self._retries) * len(jobs)
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": restarts, "max_task_retries": self._retries}
        # Threads of actors on a busy machine would spin while they wait for each other.
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
        actor = ray.remote(**options, runtime_env={"env_vars": policy})(Actor)
        shared, todo, failure = ray.put(work), iter(jobs), ""
        # What an actor is at: a shard, with the lock of its result, or its start.
        under_way: dict[Any, tuple[Any, Job | None, contextlib.ExitStack]] = {}
        with contextlib.ExitStack() as at_end:
            for _ in range(min(count, len(jobs))):
                handle = actor.remote(shared, gpus > 0)
                at_end.callback(ray.kill, handle)
                under_way[handle.start.remote()] = handle, None, contextlib.ExitStack()
            _wait_for_one(ray, list(under_way))
            while under_way:
                ready, _ = ray.wait(list(under_way), num_returns=1, timeout=10)
                for reference in ready:
                    handle, job, lock = under_way.pop(reference)
                    with lock:
                        found = self._result(ray, reference, job)
                        if job is not None:
                            _finish(job, found)
                            report(0 if isinstance(found, str) else len(found[0]), 1)
                        elif isinstance(found, str):
                            failure = found
                            continue
                    for job in todo:
                        if (held := job.begin()) is not None:
                            at_end.push(held)
                            under_way[handle.score.remote(job.shard)] = handle, job, held
                            break
                        report(0, 1)
        if next(todo, None) is not None:
            raise CLIPIQAError(f"the actors cannot start: {failure}.")

    def _result(self, ray: Any, reference: Any, job: Job | None) -> Any:
        """Return what an actor gives back, or why it gives nothing."""
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            return _said(error) if job is None else f"{job.shard.name!r} cannot be scored: {_said(error)}."
        except ray.exceptions.RayError as error:
            if job is None:
                return _said(error)
            return f"{job.shard.name!r} was given up after {1 + self._retries} attempts: {_said(error)}."


class Actor:
    """A process with one frozen CLIP that scores shards."""

    def __init__(self, work: Work, gpu: bool) -> None:
        keep_memory()
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nobody writes to it
        device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
        net: Any = work.net
        if hasattr(net, "to"):
            net = net.to(device).eval()
        self._work = dataclasses.replace(work, device=device, net=net)

    def start(self) -> None:
        """Return once the actor runs."""

    def score(self, shard: Shard) -> tuple[ShardRows, str] | str:
        """Return a shard's rows and what they were scored on, as results name it; or why it cannot be read."""
        try:
            rows = self._work.score(shard)
        except ShardError as error:
            return str(error)
        give_back_memory()
        device = self._work.device
        return rows, torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def connected(address: str | None) -> Any:
    """Return the module ``ray``, connected to the cluster at the address, or at ``RAY_ADDRESS``, or to a new one here.

    Raises:
        CLIPIQAError: Ray is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise CLIPIQAError("Ray is not installed: run `pip install 'clipiqa-pyiqa[ray]'`.") from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address not in ("auto", "local"):  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, include_dashboard=False if address == "local" else None, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise CLIPIQAError(
            f"there is no Ray cluster at {address!r}: start one (ray start --head), or correct or unset RAY_ADDRESS."
        ) from error
    return ray


def _room(ray: Any, actors: int | None, cpus: float, gpus: float | None) -> tuple[int, float, float]:
    """Return how many actors there are, and how many CPUs and GPUs each has.

    Raises:
        CLIPIQAError: The cluster has less than is asked for.
    """
    there = ray.cluster_resources()
    all_cpus, all_gpus = float(there.get("CPU", 0)), float(there.get("GPU", 0))
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


def _wait_for_one(ray: Any, starting: Sequence[Any]) -> None:
    """Wait until an actor has started or failed."""
    if not starting or ray.wait(starting, timeout=30)[0]:
        return
    logger.warning("waiting for an actor to start, up to %.0f seconds: the cluster is busy.", _START_SECONDS)
    if not ray.wait(starting, timeout=_START_SECONDS)[0]:
        raise CLIPIQAError(f"no actor could start within {_START_SECONDS:g} seconds: the cluster is busy; try later.")


def _finish(job: Job, found: tuple[ShardRows, str] | str) -> None:
    if isinstance(found, str):
        job.problem = found
        return
    rows, device = found
    job.header = Header(job.header.columns, {**job.header.provenance, "device": device})
    job.save(rows)


def _said(error: BaseException) -> str:
    """Return the last line of what Ray says."""
    name = type(getattr(error, "cause", None) or error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{name}: {reason(ValueError(lines[-1] if lines else name))[:200]}"
