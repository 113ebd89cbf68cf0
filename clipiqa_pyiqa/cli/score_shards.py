"""``clipiqa score --out DIR`` and ``--merge``: results by shard."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import OptionError, counted
from ..errors.arguments import SharedOptions
from .options.model import Kept
from .options.progress import Bar, note, tell
from .options.signals import on_interrupt
from .options.tables import aligned

if TYPE_CHECKING:
    from ..scoring.shards.summary import ShardedResult
    from ..sources.finding import Found


@dataclass(frozen=True)
class Shards:
    """Shards (--out DIR: one Parquet file of results per shard).

    Args:
        keep: copy these Parquet columns, .json keys, or sidecar files of these suffixes
        image_column: column of images or features in Parquet files; default: detected
        embeddings: score stored image features (.npy, .npz, lists in Parquet)
        part (I/N): only the I-th of N parts of the shards; default: a SLURM array's task, or all
        merge (DIR): join the results in this folder into one file, --out
        engine: score in this process, or on a Ray cluster
        actors: Ray processes that score; default: as many as possible
        gpus_per_actor: GPUs per Ray process; default: 1, or 0 without GPUs
        cpus_per_actor: cores per Ray process; default: 1
    """

    keep: Sequence[str] = ()
    image_column: str | None = None
    embeddings: bool = False
    part: str | None = None
    merge: Path | None = None
    engine: Literal["local", "ray"] = "local"
    actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: float | None = None

    def check(self, by_shard: bool) -> None:
        if not by_shard and (self.keep or self.embeddings or self.part or self.engine == "ray"):
            raise OptionError("keep, embeddings, part and engine need results by shard: name a folder, --out DIR/.")

    def score(
        self,
        found: Found,
        metric: Any,
        columns: Any,
        device: Any,
        images: SharedOptions,
        kept: Kept,
        bar: Bar,
    ) -> int:
        from ..scoring.shards.run import score_sources

        assert kept.out is not None
        engine = None
        if self.engine == "ray":
            from ..ray import RayEngine

            cpus = 1.0 if self.cpus_per_actor is None else self.cpus_per_actor
            engine = RayEngine(self.actors, cpus_per_actor=cpus, gpus_per_actor=self.gpus_per_actor)
        start, at_start = time.monotonic(), math.nan  # the shards that were done at the start

        def show(images: int, shards: float, of: int) -> None:
            nonlocal at_start
            at_start = shards if math.isnan(at_start) else at_start
            rest = ""
            if shards > at_start:
                seconds = (time.monotonic() - start) * (of - shards) / (shards - at_start)
                rest = f", {seconds / 60:.0f} min left" if seconds > 60 else f", {seconds:.0f} s left"
            bar.show("", round(shards, 1), of, f"{counted(images, 'image')}, {shards / max(of, 1):.0%}{rest}")

        with on_interrupt("the same command continues with the shards that have no result"):
            done = score_sources(
                metric,
                found,
                columns,
                out=kept.out,
                part=self.part,
                keep=self.keep,
                image_column=self.image_column,
                embeddings=self.embeddings,
                engine=engine,
                device=device,
                overwrite=kept.overwrite,
                progress=show,
                **images.keywords(),
            )
        if kept.quiet:
            for reason in done.unread.values():
                tell(reason)
        else:
            _report(done)
        return 1 if done.counts.failed or done.unread else 0


def is_folder(out: Path | None, format: str | None) -> bool:
    """Return whether ``--out`` names a folder: an existing folder, or a name without suffix."""
    # os.path returns False for invalid names; the error follows when the file is written
    return out is not None and format is None and (os.path.isdir(out) or (not out.suffix and not os.path.exists(out)))


def merge(folder: Path, paths: Sequence[str], kept: Kept) -> int:
    from ..scoring.shards.summary import merge_shards

    if paths:
        raise OptionError("merge joins results and scores no images: leave out the paths.")
    found = merge_shards(folder, kept.out, overwrite=kept.overwrite)
    if not kept.quiet:
        _report(found)
    return 0 if found.is_whole else 1


def _report(found: ShardedResult) -> None:
    for sentence in found.sentences():
        note(sentence)
    if found.counts.scored:
        frame = found.quantiles()
        low, high = found.counts.range
        rows = [["", *frame.columns, f"{low:g} to {high:g}"]]
        for name, row in zip(frame.index, frame.to_numpy(), strict=True):
            rows.append([name, *(f"{value:.3f}" for value in row), found.histogram_line(name)])
        print("\n".join(aligned(rows)), file=sys.stderr)
