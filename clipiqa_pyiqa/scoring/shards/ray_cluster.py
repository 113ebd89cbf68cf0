"""Ray and a cluster of it, found or said to be missing in a sentence; and whether what is asked for fits in."""

from __future__ import annotations

import logging
import math
import os
import socket
from dataclasses import dataclass
from typing import Any

from ...errors import CLIPIQAError, counted

_PATIENCE = 5.0  # seconds for a cluster to answer at its address


@dataclass(frozen=True)
class Room:
    """What of a cluster is used.

    Attributes:
        actors: Processes that score.
        cpus, gpus: Of each.
        decoding: CPUs of a task that reads and decodes a shard.
        shards: That are under way at once.
    """

    actors: int
    cpus: float
    gpus: float
    decoding: float
    shards: int


def connected(address: str | None) -> Any:
    """The module ``ray``, connected to the cluster at the address, or at ``RAY_ADDRESS``, or to a new one here.

    Raises:
        CLIPIQAError: Ray is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise CLIPIQAError(
            "Ray is not installed: pip install 'clipiqa-pyiqa[ray]', or leave out --engine ray."
        ) from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    missing = CLIPIQAError(
        f"there is no Ray cluster at {address!r}: start one (ray start --head), correct RAY_ADDRESS, or unset it to "
        "score on this machine."
    )
    if address not in ("auto", "local") and not _answers(address):
        raise missing
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise missing from error
    return ray


def room_for(ray: Any, actors: int | None, cpus: float, gpus: float | None) -> Room:
    """How much of the cluster is used.

    Raises:
        CLIPIQAError: The cluster has less than is asked for.
    """
    there = ray.cluster_resources()
    all_cpus, all_gpus = float(there.get("CPU", 0)), float(there.get("GPU", 0))
    gpus = (1.0 if all_gpus else 0.0) if gpus is None else gpus
    if actors is None:
        by_gpu = all_gpus / gpus if gpus else math.inf
        by_cpu = (all_cpus - 1) / cpus if cpus else math.inf
        fits = min(by_gpu, by_cpu)
        actors = max(1, int(fits)) if math.isfinite(fits) else 1
    free = all_cpus - actors * cpus
    if actors * gpus > all_gpus or free <= 0:
        raise CLIPIQAError(
            f"{counted(actors, 'actor')} of {cpus:g} CPUs and {gpus:g} GPUs, and at least one task that decodes, do "
            f"not fit into the cluster's {all_cpus:g} CPUs and {all_gpus:g} GPUs: ask for fewer --actors, "
            "--cpus-per-actor or --gpus-per-actor."
        )
    return Room(actors, cpus, gpus, min(1.0, free), max(actors + 1, int(free)))


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False
