"""What ``clipiqa score`` does where ``--out`` is a folder: results by shard, here or on Ray; and ``--merge``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, counted
from .options.model import image_limits
from .options.signals import on_interrupt
from .options.tables import aligned
from .options.wording import tell

_EVERY = 30.0  # seconds between lines about how far a run is

if TYPE_CHECKING:
    from ..scoring.shards.summary import ShardedResult
    from ..sources.finding import Found


def add_shard_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that concern shards, and the engine that scores them."""
    add = parser.add_argument_group("shards (--out DIR: one Parquet of results for each)").add_argument
    add(
        "--keep", nargs="+", action="extend", default=[], metavar="NAME",
        help="columns of Parquet files, keys of .json sidecars, or suffixes of other sidecars, to keep in columns",
    )  # fmt: skip
    add("--image-column", metavar="NAME", help="of Parquet files, where it is not found by itself")
    add("--embeddings", action="store_true", help="score image features of clip-retrieval or DataComp, decode nothing")
    add("--part", metavar="I/N", help="only the I-th of N parts of the shards (default: a SLURM array's task, or all)")
    add("--merge", metavar="DIR", help="make one file, --out, of the results in a folder, and score nothing")
    engine = parser.add_argument_group("engine").add_argument
    engine("--engine", choices=("local", "ray"), default="local", help="this process (default), or a Ray cluster")
    engine("--actors", type=int, metavar="N", help="ray: processes that score (default: as many as there is room)")
    engine(
        "--gpus-per-actor", type=_share, default=None, metavar="X", help="ray: default 1 where there are GPUs, else 0"
    )
    engine("--cpus-per-actor", type=_share, default=None, metavar="X", help="ray: default 1")


def is_folder(out: Path | None, format: str | None) -> bool:
    """Whether ``--out`` names a folder: one that exists, or a name without a suffix or with a slash at its end."""
    # os.path says False of names that no file can have, and writing will say why
    return out is not None and format is None and (os.path.isdir(out) or (not out.suffix and not os.path.exists(out)))


def merge(args: argparse.Namespace) -> int:
    """``--merge DIR``."""
    from ..scoring.shards.summary import merge_shards

    if args.paths:
        raise CLIPIQAError("--merge takes results and scores nothing: leave out the paths.")
    found = merge_shards(args.merge, args.out, overwrite=args.overwrite)
    if not args.quiet:
        _tell_all(found)
    return 0 if found.is_whole else 1


def run(args: argparse.Namespace, found: Found, metric: Any, columns: Any, device: Any) -> int:
    """Score shards into a folder, tell how far it is, and what it came to."""
    from ..scoring.shards.run import score_sources

    hint = "the same command goes on with the shards that have no result"
    with on_interrupt(hint), _Progress(args) as progress:
        done = score_sources(
            metric, found, columns, out=args.out, part=args.part, keep=args.keep, image_column=args.image_column,
            embeddings=args.embeddings, engine=_engine(args), device=device, batch_size=args.batch_size,
            workers=args.workers, damaged=args.damaged, overwrite=args.overwrite, progress=progress.show,
            **image_limits(args),
        )  # fmt: skip
    if args.quiet:
        for why in done.unread.values():
            tell("score", why)
    else:
        _tell_all(done)
    return 1 if done.counts.failed or done.unread else 0


class _Progress:
    """How far a run is: a bar on a terminal, elsewhere a line every 30 seconds."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._hidden, self._with_bar = args.quiet, args.progress or sys.stderr.isatty()
        self._start = self._told = time.monotonic()
        self._first: float | None = None  # the shards that were done at the start
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, images: int, shards: float, of: int) -> None:
        """So many images of this run and shards of all runs are done."""
        from tqdm import tqdm

        first = self._first = shards if self._first is None else self._first
        if self._hidden:
            return
        if self._with_bar:
            layout = "{percentage:3.0f} %|{bar}| {postfix} [{elapsed}<{remaining}]"
            self._bar = self._bar or tqdm(total=of, initial=first, bar_format=layout)
            self._bar.set_postfix_str(counted(images, "image"), refresh=False)
            self._bar.update(shards - self._bar.n)
        elif (now := time.monotonic()) - self._told >= _EVERY:
            self._told = now
            left = (now - self._start) * (of - shards) / (shards - first) if shards > first else None
            rest = "" if left is None else f", {left / 60:.0f} min left" if left > 60 else f", {left:.0f} s left"
            tell("score", f"{counted(images, 'image')}, {shards / of:.0%}{rest}")


def _engine(args: argparse.Namespace) -> Any:
    if args.engine == "local":
        return None
    from ..ray import RayEngine

    cpus = 1.0 if args.cpus_per_actor is None else args.cpus_per_actor
    return RayEngine(args.actors, cpus_per_actor=cpus, gpus_per_actor=args.gpus_per_actor)


def _tell_all(found: ShardedResult) -> None:
    for said in found.sentences():
        tell("score", said)
    if found.counts.scored:
        frame = found.quantiles()
        low, high = found.counts.range
        rows = [["", *frame.columns, f"{low:g} to {high:g}"]]
        for name, row in zip(frame.index, frame.to_numpy(), strict=True):
            rows.append([name, *(f"{value:.3f}" for value in row), found.histogram_line(name)])
        print("\n".join(aligned(rows)), file=sys.stderr)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 10_000:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on; got {text!r}")
    return value
