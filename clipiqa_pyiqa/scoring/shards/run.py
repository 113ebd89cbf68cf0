"""Scoring of shards as one documented function: found, scored by an engine, and summed up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from ...errors import CLIPIQAError
from ...errors.arguments import SharedOptions, checked
from ...files.writing import check_folder
from ...images.reader import Damaged, check_limits
from ...metric import find_device, net_of
from ...prompts.pairs import PromptPair, Prompts, parse_columns
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.stores import address_of, local_path
from ..rows import Header
from ..score import Scorable, provenance
from .jobs import Job, part_of, plan
from .summary import ShardedResult, summary_of
from .work import Work, score_locally


@runtime_checkable
class Engine(Protocol):
    """Scores shards: ``score_locally``, or :class:`~clipiqa_pyiqa.ray.RayEngine`."""

    def __call__(self, work: Work, jobs: Sequence[Job], report: Callable[[int, float], object]) -> None: ...


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
    progress: Callable[[int, float, int], object] | None = None,
) -> ShardedResult:
    """Score images wherever they are, one Parquet file of results for each shard: ``clipiqa score … --out DIR``.

    A shard that has its result is not scored again, so a run that was broken off goes on where it was. An image that
    cannot be scored has a row whose ``error`` says why. A shard that cannot be read has no result, is named, and is
    tried again by the next run.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        sources: Files, folders, globs, tar shards (``'shards/{000..099}.tar'``), Parquet files and addresses
            (``'s3://…'``), one or several, as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`; or shards of your
            own, with a ``name`` and a method ``entries()`` that gives objects with a ``name`` and a ``read()``.
        prompts: What to ask, as for :func:`~clipiqa_pyiqa.score_paths`.
        out: Folder of results, on disk or in a store: ``a/000.tar`` and ``b/000.tar`` become ``a/000.parquet`` and
            ``b/000.parquet`` in it, files of no shard ``files-00000.parquet``, 10,000 each.
        part: ``'3/8'`` scores the third of eight parts of the shards; None is the task's of a SLURM array, or all.
        keep: Columns of Parquet files, keys of ``.json`` sidecars, or suffixes of others (``'txt'``), kept in columns.
        image_column: Of Parquet files; None finds it.
        embeddings: The sources are files of image features: ``.npy``, ``.npz`` or Parquet's columns of lists.
        engine: Who scores; None is this process. With :class:`~clipiqa_pyiqa.ray.RayEngine`, a Ray cluster.
        device, batch_size, workers, apply_exif, max_side, max_pixels, damaged: As for
            :func:`~clipiqa_pyiqa.score_paths`.
        overwrite: Score finished shards again.
        progress: Called as results come with the numbers of images that this run has scored, of shards that are done
            (2.5 where the third is half read), and of shards in this part.

    Returns:
        Counts, failures and quantiles of everything in ``out``, other parts and earlier runs included.

    Raises:
        CLIPIQAError: There is nothing to score, a store refuses, a Parquet file lacks a column to keep, the folder
            cannot be written or was made with another metric; what it was and what to do.
    """
    check_limits(max_side, max_pixels, damaged)
    numbers = part_of(part)
    found = sources if isinstance(sources, Found) else find_shards(
        sources, keep=keep, image_column=image_column, features=embeddings
    )  # fmt: skip
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem if found.problems else 'no source was given'}: there is nothing to score.")
    net: Scorable = net_of(metric)
    questions = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
    device = find_device(device)
    limits: dict[str, Any] = dict(apply_exif=apply_exif, max_side=max_side, max_pixels=max_pixels, damaged=damaged)
    said = provenance(net, questions, device, **limits)
    if embeddings:
        _check_features(found, net, engine)
        said |= {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed", "apply_exif": None}
    work = Work(net, questions, device, batch_size, workers, limits)
    folder = address_of(out)
    if (path := local_path(folder)) is not None:
        folder = str(check_folder(path, []))
    found.check_keep()
    shards = found.shards()
    ends = [end for record in said["scores"].values() for end in record["range"]]
    todo, done = plan(
        shards, folder, Header(tuple(work.columns), said), numbers, overwrite, (float(min(ends)), float(max(ends)))
    )
    images, finished, of = 0, float(done), done + len(todo)

    def report(more: int, shards: float) -> None:
        nonlocal images, finished
        images, finished = images + more, finished + shards
        if progress is not None:
            progress(images, round(finished, 6), of)

    (engine or score_locally)(work, todo, report)
    summary = summary_of(folder)
    unread = {name: f"{problem}." for name, problem in found.missing.items()}
    unread |= {job.shard.name: job.problem for job in todo if job.problem is not None}
    summary.counts.skipped.update(found.skipped)
    elsewhere = sum(job.is_elsewhere for job in todo)
    return dataclasses.replace(summary, of=max(summary.of, len(shards)), unread=unread, elsewhere=elsewhere)


def _check_features(found: Found, net: Any, engine: Engine | None) -> None:
    if engine is not None:
        raise CLIPIQAError("embeddings are scored in this process: leave out engine.")
    nets = list(getattr(net, "nets", {"": net}).values())
    for each in nets:
        on_stages = getattr(getattr(each, "head", None), "on_stages", False)
        if not hasattr(each, "clip") or on_stages or getattr(getattr(each, "view", None), "dims", 2) != 2:
            raise CLIPIQAError("embeddings are one of CLIP's last features an image, but this metric looks at more.")
    if len(backbones := {each.clip.weights.backbone for each in nets}) > 1:
        raise CLIPIQAError(f"embeddings are of one backbone; got metrics of {', '.join(sorted(backbones))}.")
    for item in found.items:
        if not isinstance(item, EmbeddingsShard) and hasattr(item, "entries"):
            raise CLIPIQAError(f"{item.name!r} holds images and not features: score it without embeddings.")
