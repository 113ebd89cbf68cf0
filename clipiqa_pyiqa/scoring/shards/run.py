"""Scoring of shards, from sources to a summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from ...errors import CLIPIQAError
from ...errors.arguments import SharedOptions, checked
from ...files.writing import check_folder
from ...images.reader import Damaged
from ...prompts.pairs import PromptPair, Prompts
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.members import Shard
from ...sources.parquet import ParquetShard
from ...sources.stores import address_of, is_remote
from ..rows import Header
from ..score import Work
from .jobs import Job, Report, part_of, plan, score_locally
from .summary import ShardedResult, summary_of


@runtime_checkable
class Engine(Protocol):
    """Scores shards: ``score_locally``, or :class:`~clipiqa_pyiqa.ray.RayEngine`."""

    def __call__(self, work: Work, jobs: Sequence[Job], report: Report) -> None: ...


@checked
def score_sources(
    metric: Any,
    sources: Any,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    *,
    out: str | Path,
    part: str | None = None,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    embeddings: bool = False,
    engine: Engine | None = None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    apply_exif: bool = SharedOptions.apply_exif,
    max_side: int | None = SharedOptions.max_side,
    max_pixels: int | None = SharedOptions.max_pixels,
    damaged: Damaged = SharedOptions.damaged,
    overwrite: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
) -> ShardedResult:
    """Score images into one Parquet file per shard, as ``clipiqa score … --out DIR`` does.

    The same call continues an interrupted run. An image that cannot be scored has a row with an ``error``; a shard that
    cannot be read has no result, and is tried again.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        sources: Files, folders, globs, shards and addresses, as for
            :func:`~clipiqa_pyiqa.sources.finding.find_shards`; or objects with a ``name`` and ``entries()``, which
            yields objects with a ``name`` and a ``read()``.
        prompts: What to ask, as for :func:`~clipiqa_pyiqa.score_paths`.
        out: Folder, on disk or in a store: ``a/000.tar`` and ``b/000.tar`` become ``a/000.parquet`` and
            ``b/000.parquet``, other files ``files-00000.parquet``, 10,000 each.
        part: ``'3/8'`` scores the third of eight parts; None is the part of a SLURM array's task, or all shards.
        keep: Columns of Parquet files, keys of ``.json`` sidecars, or suffixes of other sidecars, kept in columns.
        image_column: Of Parquet files; None finds it.
        embeddings: Score files of image features, of clip-retrieval or DataComp.
        engine: :class:`~clipiqa_pyiqa.ray.RayEngine` for a Ray cluster; None is this process.
        overwrite: Score finished shards again.
        progress: Called with the numbers of images scored, of finished shards, and of shards in this part.

    Returns:
        Counts, failures and quantiles of all results in ``out``.

    Raises:
        CLIPIQAError: There is nothing to score, a store refuses, a column to keep is missing, or ``out`` cannot be
            written or was made with another metric.
    """
    limits = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels, "damaged": damaged}
    work = Work.of(metric, prompts, device, batch_size, workers, limits)
    numbers, found = part_of(part), sources
    if not isinstance(found, Found):
        found = find_shards(sources, keep=keep, image_column=image_column, features=embeddings)
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem if found.problems else 'no source was given'}: there is nothing to score.")
    header, shards, folder = work.header, found.shards(), address_of(out)
    if embeddings:
        _check_features(shards, work.net, engine)
        views = {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed", "apply_exif": None}
        header = Header(header.columns, {**header.provenance, **views})
    if not is_remote(folder):
        folder = str(check_folder(folder, []))
    if tables := [shard for shard in shards if isinstance(shard, ParquetShard) and shard.name not in found.problems]:
        tables[0].check_keep()
    todo, done = plan(shards, folder, header, numbers, overwrite)
    images, of = 0, done + len(todo)

    def report(more: int, finished: int) -> None:
        nonlocal images, done
        images, done = images + more, done + finished
        if progress is not None:
            progress(images, done, of)

    (engine or score_locally)(work, todo, report)
    summary = summary_of(folder)
    unread = {name: f"{problem}." for name, problem in found.missing.items()}
    unread |= {job.shard.name: job.problem for job in todo if job.problem is not None}
    summary.counts.skipped.update(found.skipped)
    elsewhere = sum(job.is_elsewhere for job in todo)
    return dataclasses.replace(summary, of=max(summary.of, len(shards)), unread=unread, elsewhere=elsewhere)


def _check_features(shards: Sequence[Shard], net: Any, engine: Engine | None) -> None:
    if engine is not None:
        raise CLIPIQAError("embeddings are scored in this process: leave out engine.")
    if not hasattr(net, "clip") or getattr(getattr(net, "head", None), "on_stages", False):
        raise CLIPIQAError("embeddings hold CLIP's last features only, but this metric looks at more: use another one.")
    for shard in shards:
        if not isinstance(shard, EmbeddingsShard):
            raise CLIPIQAError(f"{shard.name!r} holds images and not features: score it without embeddings.")
