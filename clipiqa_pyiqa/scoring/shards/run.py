"""Scoring of shards into a folder of results, in this process or on a Ray cluster."""

from __future__ import annotations

import itertools
import logging
import math
import os
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, Unpack

import torch

from ...errors import CLIPIQAError, FilePath, Kind, Progress, RunOptions, checked, counted, reason, silent
from ...files.folders import check_folder
from ...files.printable import printable
from ...images.image import MISSING, NoImage
from ...images.memory import keep_memory
from ...metrics.building import noted
from ...metrics.metric import MetricSet
from ...results.columns import Known, Row
from ...results.folder import ShardedResult, summary_of
from ...results.formats import Head
from ...sources.finding import Found, find_shards, read_ahead
from ...sources.stores import Shard, ShardError, address_of, is_remote
from ...sources.tables import EmbeddingsShard
from ...sources.videos import SAMPLING
from ..engine import rounded
from ..score import AnyPrompts, ScoringSetup, device_name
from .planning import Job, part_of, plan_shards


def check_features(metrics: MetricSet) -> None:
    """Raise ``CLIPIQAError`` if a metric needs more than one final CLIP feature per image."""
    for metric in metrics.metrics:
        net = metric.net
        on_stages = getattr(getattr(net, "head", None), "on_stages", False)
        if not hasattr(net, "clip") or on_stages or getattr(getattr(net, "view", None), "dims", 2) != 2:
            name = f"metric {metric.label!r}" if metric.label else "this metric"
            raise CLIPIQAError(f"embeddings hold one final CLIP feature per image, but {name} needs more.")
    backbones = {metric.net.clip.weights.backbone: None for metric in metrics.metrics}
    if len(backbones) != 1:
        raise CLIPIQAError(f"embeddings need metrics of one backbone; got {', '.join(backbones) or 'none'}.")


def feature_rows(work: ScoringSetup, shard: EmbeddingsShard) -> Iterator[Row]:
    """Yield the rows of all features, known or not: looking them up would take longer."""
    metrics, numbers = work.metrics.metrics, itertools.count()
    clip = metrics[0].net.clip
    for features, kept in shard.blocks(clip.width, clip.weights.backbone):
        units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1)
        is_usable = (units.norm(dim=1) > 0.5).tolist()  # False for NaN
        units = units.where(torch.tensor(is_usable)[:, None], clip.width**-0.5).to(work.device)
        with torch.no_grad():
            scores = rounded(torch.cat([metric.score_features(units) for metric in metrics], dim=1))
        for values, beside, usable in zip(scores, kept, is_usable, strict=True):
            path = f"{shard.name}::{next(numbers)}"
            if usable and all(map(math.isfinite, values)):
                yield Row(path, values, kept=beside)
            else:
                error = f"{path!r} cannot be scored: its features are zero or not finite."
                yield Row(path, kind=Kind.NOT_FINITE, error=error, kept=beside)


Outcomes = Generator[tuple[Job, Iterable[Row]], None, None]
Engine = Callable[[ScoringSetup, Iterator[Job]], Outcomes]
"""A function that yields each job with its rows; a shard's failure is in its ``problem``, or a ``ShardError``."""


@checked
def score_sources(
    metric: Any,
    sources: Any,
    prompts: AnyPrompts = None,
    *,
    out: FilePath,
    part: str | None = None,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    embeddings: bool = False,
    engine: Engine | None = None,
    overwrite: bool = False,
    sampling: str = SAMPLING,
    progress: Progress = silent,
    **options: Unpack[RunOptions],
) -> ShardedResult:
    """Score images into one Parquet file per shard, as ``clipiqa score … --out DIR`` does.

    The same call continues an interrupted run, and scores what is new or has changed; a call with other metrics adds
    their columns. An image that cannot be scored gets a row with an ``error``; a shard that cannot be read gets no
    result until a later call can read it.

    Args:
        metric, prompts, overwrite, sampling, options: As for :func:`~clipiqa_pyiqa.score_paths`.
        sources: Paths as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`, or objects such as
            :class:`~clipiqa_pyiqa.sources.stores.Shard`.
        out: The folder of results, on disk or in a store.
        part: ``'3/8'`` scores the third of eight parts, ``'slurm'`` the part of a SLURM array's task.
        keep: Values to add: Parquet columns, keys of ``.json`` sidecars, suffixes of other sidecars.
        embeddings: Score stored features: ``.npy``, or lists in Parquet files.
        engine: :class:`~clipiqa_pyiqa.ray.RayEngine` for a Ray cluster; None means this process.
        progress: Called with the numbers of scored images, finished shards (or parts of a block of files) and all
            shards.

    Returns:
        Counts, failures and quantiles of the results of all shards in ``out``.
    """
    work = ScoringSetup(metric, prompts, also=("file",), sampling=sampling, **options)
    found = sources
    if not isinstance(found, Found):
        found = find_shards(sources, keep=keep, image_column=image_column, features=embeddings, sampling=sampling)
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem or 'no source was given'}: there is nothing to score.")
    work.metrics.match([printable(item.name) for item in found.items])
    head = work.head
    columns, reading = head.columns, {**head.reading, "keep": list(keep), "image_column": image_column}
    if embeddings:
        check_features(work.metrics)
        columns = noted(columns, {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed"})
        reading["apply_exif"] = None
    folder = address_of(out)
    if not is_remote(folder):
        folder = str(check_folder(folder))
    jobs = plan_shards(found, folder, work.metrics, Head(columns, reading), part_of(part), overwrite)
    images, done, share = 0, 0, 0.0

    def report(more_images: int, more_shards: int, more: float = 0) -> None:
        nonlocal images, done, share
        images, done, share = images + more_images, done + more_shards, 0 if more_shards else min(share + more, 1)
        progress(images, done + share, len(jobs))

    def begun() -> Iterator[Job]:
        for job in jobs:
            if job.begin():
                yield job
            else:
                report(0, 1)

    here = ((job, score_shard(work, job.shard, job.results.known)) for job in begun())
    try:
        with closing(engine(work, begun()) if engine else here) as outcomes:
            for job, rows in outcomes:
                files = len(getattr(job.shard, "sources", ()))  # thousands are one shard, so each is reported
                step = files and 1 / max(1, files - len(job.results.known.places))
                job.save(rows, partial(report, 1, 0, step))
                report(0, 1)
    finally:
        for job in jobs:
            job.close()
    for job in jobs:
        if job.stamp == MISSING and not job.problem:
            job.problem = f"{job.shard.name!r} does not exist; its earlier result is kept."
    unread = {item.name: f"{item.problem}." for item in found.items if isinstance(item, NoImage)}
    unread |= {job.shard.name: job.problem for job in jobs if job.problem}
    states = Counter("not read" if job.problem else job.state for job in jobs)
    summary = summary_of(folder)
    left_out = [*summary.left_out, *itertools.chain.from_iterable(job.lost for job in jobs)]
    return replace(summary, unread=unread, states=states, unmatched=work.metrics.unmatched, left_out=left_out)


def score_shard(work: ScoringSetup, shard: Shard, known: Known) -> Iterator[Row]:
    """Yield the rows of a shard that are not known. Raises ``ShardError``."""
    if isinstance(shard, EmbeddingsShard):
        return feature_rows(work, shard)
    return work.rows(read_ahead(shard), known)


@dataclass(frozen=True)
class RayEngine:
    """An ``engine`` of :func:`clipiqa_pyiqa.score_sources` that scores shards on a Ray cluster.

    The cluster is the one at ``RAY_ADDRESS``, or a new one on this machine.

    Args:
        actors: Number of processes; None means as many as fit.
        cpus_per_actor: CPUs, and threads, of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs.
    """

    actors: int | None = None
    _: KW_ONLY
    cpus_per_actor: float = 1.0
    gpus_per_actor: float | None = None
    retries: int = 3

    def __call__(self, work: ScoringSetup, jobs: Iterator[Job]) -> Outcomes:
        ray = connected()
        resources, cpus = ray.cluster_resources(), self.cpus_per_actor
        all_cpus, all_gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
        gpus = float(all_gpus > 0) if self.gpus_per_actor is None else self.gpus_per_actor
        fits = int(min(all_cpus / max(cpus, 0.01), all_gpus / gpus if gpus else math.inf))
        most = self.actors or fits
        if fits < max(most, 1):
            raise CLIPIQAError(
                f"{counted(most or 1, 'actor')} of {cpus:g} CPUs and {gpus:g} GPUs do not fit into the cluster's "
                f"{all_cpus:g} CPUs and {all_gpus:g} GPUs: reduce `actors`, cpus_per_actor or gpus_per_actor."
            )
        # PASSIVE: a thread that waits uses no CPU time, which other threads on a busy machine need
        policy = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}

        # An actor loads modules with its first shard: Ray would restart an actor that dies earlier without end.
        class Actor:
            def score(self, score: Any, *arguments: Any) -> Any:
                return score(vars(self), *arguments)

        start = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=self.retries,
            runtime_env={"env_vars": policy},
        )(Actor).remote
        device = "cuda" if gpus else "cpu" if work.device.type == "cuda" else str(work.device)
        shared = [ray.put(work.elsewhere)]  # in a list: Ray would load a bare argument again for each shard
        under_way: dict[Any, tuple[Any, Job]] = {}  # reference -> actor, job

        def finish() -> tuple[Any, tuple[Job, list[Row]]]:
            """Wait for a shard; return an actor for the next shard, and the job with its rows."""
            reference = ray.wait(list(under_way))[0][0]
            (actor, job), rows = under_way.pop(reference), list[Row]()
            try:
                rows, device, job.results.known.seen = ray.get(reference)
                head = job.results.head
                job.results.head = replace(head, reading={**head.reading, "device": device})
            except ray.exceptions.RayTaskError as error:
                cause = getattr(error, "cause", None) or error
                why = f"{job.shard.name!r} cannot be scored: {type(cause).__name__}: {reason(cause)[:200]}."
                job.problem = str(cause) if isinstance(cause, ShardError) else why
            except ray.exceptions.RayError as error:
                attempts = f"{counted(1 + self.retries, 'attempt')}: its process was lost each time"
                job.problem = f"{job.shard.name!r} was given up after {attempts} ({type(error).__name__})."
                ray.kill(actor)  # the next shard would fail if this actor is still restarting
                actor = start()
            return actor, (job, rows)

        try:
            for job in jobs:
                actor, outcome = finish() if len(under_way) == most else (start(), None)
                under_way[actor.score.remote(_score, shared, job.shard, job.results.known, device)] = actor, job
                if outcome:
                    yield outcome
            while under_way:
                actor, outcome = finish()
                ray.kill(actor)  # frees its CPUs and GPUs for an actor that waits for them
                yield outcome
        finally:
            for reference, (actor, _) in under_way.items():
                ray.cancel(reference)  # otherwise Ray would print that it tries the shard again
                ray.kill(actor)


def _score(
    held: dict[str, ScoringSetup], shared: list[Any], shard: Shard, known: Known, device: str
) -> tuple[list[Row], str, bytearray]:
    """Return rows, device and known images of the shard; ``held`` keeps the work."""
    if not held:
        import ray

        keep_memory()
        held["work"] = ray.get(shared[0])(device=device)
    work = held["work"]
    return list(score_shard(work, shard, known)), device_name(work.device), known.seen


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
