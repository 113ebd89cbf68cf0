"""Scoring of shards as one documented function: found, dealt out, scored by an engine, and summed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from ...arguments import checked
from ...clip.device import find_device, scoring_bytes
from ...errors import CLIPIQAError
from ...files.writing import check_folder, resolved
from ...images.reader import Damaged, check_limits
from ...prompts.pairs import PromptPair, Prompts, parse_columns
from ...sources.embeddings import EmbeddingsShard
from ...sources.finding import Found, find_shards
from ...sources.stores import local_path
from ..rows import Header, ResultsError, Row
from ..score import Scorable, provenance
from .jobs import Job, Part, check_same, plan
from .summary import ShardedResult, summary_of
from .work import Reading, Work, score_features, score_locally


@runtime_checkable
class Engine(Protocol):
    """Scores shards: ``score_locally``, or :class:`~clipiqa_pyiqa.ray.RayEngine`."""

    def __call__(self, work: Work, jobs: Sequence[Job], report: Callable[[Job, Row | None], object]) -> None: ...


@checked
def score_sources(
    metric: Any,
    sources: Any,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    *,
    out: str | Path,
    part: str | Part | None = None,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    embeddings: bool = False,
    engine: Engine | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
    damaged: Damaged = "refuse",
    overwrite: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
) -> ShardedResult:
    """Score images wherever they are, one Parquet file of results for each shard: ``clipiqa score … --out DIR``.

    A shard that has its result is not scored again, so a run that was broken off goes on where it was; what was under
    way is scored again. An image that cannot be scored has a row whose ``error`` says why. A shard that cannot be read
    has no result, and the next run tries it again.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        sources: Files, folders, globs, tar shards (``'shards/{000..099}.tar'``), Parquet files and addresses
            (``'s3://…'``), one or several, as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`; or shards of your
            own, with a ``name`` and a method ``entries()`` that gives objects with a ``name`` and a ``read()``.
        prompts: What to ask, as for :func:`~clipiqa_pyiqa.score_paths`.
        out: Folder of results: ``a/000.tar`` and ``b/000.tar`` become ``a/000.parquet`` and ``b/000.parquet`` in it,
            files of no shard ``files-00000.parquet``, 10,000 each.
        part: ``'3/8'`` scores the third of eight parts of the shards; None is the task's of a SLURM array, or all.
        keep: Columns of Parquet files, keys of ``.json`` sidecars, or suffixes of others (``'txt'``), kept in columns.
        image_column: Of Parquet files; None finds it.
        embeddings: The sources are files of image features, of clip-retrieval or DataComp.
        engine: Who scores; None is this process. With :class:`~clipiqa_pyiqa.ray.RayEngine`, a Ray cluster.
        device, batch_size, workers, apply_exif, max_side, max_pixels, damaged: As for
            :func:`~clipiqa_pyiqa.score_paths`.
        overwrite: Score finished shards again.
        progress: Called as results come with the numbers of images that are scored or have failed, of shards that are
            done, and of shards in this part.

    Returns:
        Counts, failures and quantiles of everything in ``out``, other parts and earlier runs included.

    Raises:
        CLIPIQAError: There is nothing to score, a store refuses, the folder cannot be written or was made with another
            metric; what it was and what to do.
    """
    limits: dict[str, Any] = {
        "apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels, "damaged": damaged
    }  # fmt: skip
    check_limits(max_side, max_pixels, damaged)
    share = part if isinstance(part, Part) else Part.parse(part)
    address = re.sub(r"^(\w\w+):/(?!/)", r"\1://", str(out))  # as a Path, s3://x is s3:/x
    address = re.sub(r"^(file|local)://(?!/)", r"\1:///", address)
    if local_path(address) is None:
        raise ResultsError(
            f"results by shard are renamed into place, which a store like {address!r} cannot: name a folder on a disk."
        )
    found = sources if isinstance(sources, Found) else find_shards(
        sources, keep=keep, image_column=image_column, features=embeddings
    )  # fmt: skip
    if found.is_empty:
        raise CLIPIQAError(f"{found.problem if found.problems else 'no source was given'}: there is nothing to score.")
    net: Scorable = getattr(metric, "net", metric)
    columns = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
    device = find_device(device)
    if embeddings and engine is not None:
        raise CLIPIQAError(
            "stored features are scored in this process, nothing is decoded: leave out --engine (engine=None)."
        )
    said = provenance(net, columns, device, **limits)
    if embeddings:
        _check_features(found, net)
        said |= {"views": "CLIP's own 224 px, from stored embeddings", "pos_embedding": "fixed", "apply_exif": None}
    header = Header(net.columns if columns is None else tuple(columns), said)
    folder = check_folder(resolved(str(local_path(address))), [])
    low, high = next(iter(said["scores"].values()))["range"]
    shards = found.shards()
    todo, done = plan(shards, folder, header, share, overwrite, (float(low), float(high)))
    for result in done:
        check_same(result.path, result.header, header)
    work = Work(net, columns, device, batch_size, Reading(workers, limits, scoring_bytes(net, device)))
    told = _Told(progress, len(todo) + len(done), len(done))
    score = score_features if embeddings else engine or score_locally
    try:
        score(work, todo, told)
    finally:
        for job in todo:
            job.let_go()
    summary = summary_of(folder)
    unread = {name: f"{problem}." for name, problem in found.missing.items()}
    unread |= {job.shard.name: job.problem for job in todo if job.problem is not None}
    elsewhere = sum(job.counts is None and job.problem is None and not job.path.exists() for job in todo)
    summary.counts.skipped.update(found.skipped)
    return summary.after(len(shards), unread, elsewhere, share)


class _Told:
    """Passes on how far a run is."""

    def __init__(self, progress: Callable[[int, int, int], object] | None, shards: int, done: int) -> None:
        self._progress, self._shards, self._done, self._images = progress, shards, done, 0

    def __call__(self, job: Job, row: Row | None) -> None:
        if row is None:
            self._done += 1
        else:
            self._images += 1
        if self._progress is not None:
            self._progress(self._images, self._done, self._shards)


def _check_features(found: Found, net: Any) -> None:
    if not hasattr(net, "clip") or getattr(getattr(net, "head", None), "on_stages", False):
        raise CLIPIQAError("embeddings hold CLIP's last features only, but this metric looks at more: use another one.")
    for item in found.items:
        if not isinstance(item, EmbeddingsShard) and hasattr(item, "entries"):
            raise CLIPIQAError(f"{item.name!r} holds images and no features: score it without embeddings.")
