"""What ``clipiqa score`` does where ``--out`` is a folder: results by shard, here or on Ray; and ``--merge``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, counted
from .options.model import image_limits
from .options.signals import on_interrupt
from .options.tables import aligned
from .options.wording import tell

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
    from tqdm import tqdm

    from ..scoring.shards.run import score_sources

    hidden = True if args.quiet else False if args.progress else None
    hint = "the same command goes on with the shards that have no result"
    with on_interrupt(hint), tqdm(unit="image", disable=hidden) as bar:

        def progress(images: int, shards: int, of: int) -> None:
            bar.set_postfix_str(f"{shards} of {counted(of, 'shard')}", refresh=False)
            bar.update(images - bar.n)

        done = score_sources(
            metric, found, columns, out=args.out, part=args.part, keep=args.keep, image_column=args.image_column,
            embeddings=args.embeddings, engine=_engine(args), device=device, batch_size=args.batch_size,
            workers=args.workers, damaged=args.damaged, overwrite=args.overwrite, progress=progress,
            **image_limits(args),
        )  # fmt: skip
    if args.quiet:
        for why in done.unread.values():
            tell("score", why)
    else:
        _tell_all(done)
    return 1 if done.counts.failed or done.unread else 0


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
        rows = [
            ["", *frame.columns],
            *(
                [name, *(f"{value:.3f}" for value in row)]
                for name, row in zip(frame.index, frame.to_numpy(), strict=True)
            ),
        ]
        print("\n".join(aligned(rows)), file=sys.stderr)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 10_000:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, but {text!r} came")
    return value
