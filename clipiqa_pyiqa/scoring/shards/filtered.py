"""From scores to a filtered set: the members of tar shards and the rows of Parquet files that score well enough."""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...arguments import checked
from ...errors import CLIPIQAError, counted
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...files.writing import check_folder, has_leftovers, remove_leftovers, replacing, write_text
from ...sources.members import ShardError
from ...sources.stores import opened, store_error
from ...sources.tar import DAMAGE, Member, is_outside, members
from ..rows import ResultsError
from .files import ShardResult, read_table
from .summary import shard_results

STATS = ".stats.json"


@dataclass(frozen=True)
class FilteredSet:
    """What became of a set of shards.

    Attributes:
        shards: New shards, those of earlier runs included.
        earlier: Of them, those that an earlier run wrote.
        kept: Images in them.
        images: Images with a row in the results.
        members: Members of tar archives that were copied, sidecars included.
        bytes: Their content.
        not_copied: Kept images that are in no shard that can be copied, such as loose files.
        problems: Shard -> why it was not copied.
    """

    shards: int
    earlier: int
    kept: int
    images: int
    members: int
    bytes: int
    not_copied: int
    problems: dict[str, str]

    def sentences(self) -> list[str]:
        """What people want to know of it, as clauses."""
        earlier = f", {self.earlier} of them by an earlier run" if self.earlier else ""
        said = [
            f"{self.kept:,} of {counted(self.images, 'image')} kept, in {counted(self.shards, 'new shard')}{earlier}"
        ]
        if self.members:
            said.append(f"{counted(self.members, 'member')} of tar archives copied, {self.bytes / 1e6:,.1f} MB")
        if self.not_copied:
            said.append(
                f"not copied, being in no tar archive or Parquet file: {counted(self.not_copied, 'kept image')}"
            )
        return [*said, *(f"not copied: {why}" for why in self.problems.values())]


@checked
def filter_shards(
    results: str | Path,
    into: str | Path,
    *,
    above: float | None = None,
    below: float | None = None,
    column: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> FilteredSet:
    """Copy what scores well enough out of scored shards: ``clipiqa rank OUT --above 0.6 --write-shards DIR``.

    Of a tar archive, every member of a sample is copied, byte for byte, if one of the sample's images is kept; of a
    Parquet file, the rows, with all their columns. Each shard becomes one of the same name, and ``NAME.stats.json``
    beside it says that it is whole, and how many it kept. Shards that have it are not copied again.

    Args:
        results: Folder of results by shard, of :func:`~clipiqa_pyiqa.score_sources`.
        into: Folder of the new shards.
        above: Keep images whose value is at least this.
        below: Keep images whose value is at most this.
        column: What is compared: a score, or any other column of numbers; None is the first score.
        progress: Called with the number of results that were dealt with, and of all.

    Raises:
        CLIPIQAError: There is nothing to compare with, no such column, no results, or ``into`` holds shards that were
            chosen another way.
    """
    if above is None and below is None:
        raise CLIPIQAError("say which images are kept: --above, --below, or both.")
    folder = Path(results).expanduser()
    found = list(shard_results(folder)) if folder.is_dir() else []
    if not found:
        raise ResultsError(f"{str(results)!r} holds no results by shard: name the --out DIR of clipiqa score.")
    column = column or found[0].header.columns[0]
    choice = {"column": column, "above": above, "below": below}
    target = check_folder(into, [])
    if target == folder.resolve():
        raise ResultsError(f"{str(into)!r} holds the results: name another folder for the new shards.")
    total, is_littered = Counter[str](), has_leftovers(target)
    problems: dict[str, str] = {}
    for number, result in enumerate(found, 1):
        try:
            total.update(_copied(result, folder, target, choice, is_littered))
        except (ShardError, LockedError) as error:
            problems[result.shard] = str(error)
        if progress is not None:
            progress(number, len(found))
    names = ("shards", "earlier", "kept", "images", "members", "bytes", "not_copied")
    return FilteredSet(**{name: total[name] for name in names}, problems=problems)


def _copied(
    result: ShardResult, results: Path, target: Path, choice: dict[str, Any], is_littered: bool
) -> dict[str, int]:
    """The counts of one shard, which is copied unless it has been."""
    kept, images = _chosen(result, **choice)
    if result.kind not in ("tar", "parquet"):
        return {"images": images, "not_copied": len(kept)}
    suffix = "".join(Path(result.shard).suffixes[-2:]) if result.shard.endswith((".gz", ".bz2", ".xz")) else ""
    suffix = suffix or Path(result.shard).suffix
    path = target / result.path.relative_to(results.resolve() if result.path.is_absolute() else results).with_suffix(
        suffix
    )
    stats = path.with_name(path.name + STATS)
    said = {"shard": result.shard, "results": str(result.header.metric), **choice}
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if is_littered:
            remove_leftovers(path)
        if stats.exists():
            counts = _earlier(stats, said)
            if path.exists() or not counts["kept"]:
                return {**counts, "shards": int(path.exists()), "earlier": int(path.exists())}
        counts = {"images": images, "kept": len(kept), "members": 0, "bytes": 0}
        if kept:
            copy = _copy_tar if result.kind == "tar" else _copy_rows
            counts |= copy(result.shard, path, kept)
        write_text(stats, json.dumps({**said, "counts": counts}, indent=1, ensure_ascii=False) + "\n")
    return {**counts, "shards": int(bool(kept))}


def _chosen(result: ShardResult, column: str, above: float | None, below: float | None) -> tuple[set[str], int]:
    """Names of members or numbers of rows that are kept, and how many images there are."""
    import pyarrow
    from pyarrow import compute, parquet

    known = parquet.read_schema(result.path).names
    if column not in known:
        names = ", ".join(known)
        raise CLIPIQAError(f"there is no column {column!r} in {str(result.path)!r}: its columns are {names}.")
    table = read_table(result.path, ["path", column])
    try:
        values = table[column].cast(pyarrow.float64())
    except pyarrow.ArrowException as error:
        raise CLIPIQAError(f"the column {column!r} holds {table[column].type}, but numbers are compared.") from error
    fits = compute.is_valid(values)
    if above is not None:
        fits = compute.and_kleene(fits, compute.greater_equal(values, above))
    if below is not None:
        fits = compute.and_kleene(fits, compute.less_equal(values, below))
    paths = table["path"].filter(compute.fill_null(fits, False)).to_pylist()
    return {path.removeprefix(f"{result.shard}::") for path in paths}, table.num_rows


def _earlier(stats: Path, said: dict[str, Any]) -> dict[str, int]:
    try:
        before = json.loads(stats.read_text(encoding="utf-8"))
        counts = before.pop("counts")
        counts["kept"] + counts["images"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{str(stats)!r} is not what clipiqa rank wrote: remove it, or name another folder."
        ) from error
    if before != said:
        names = ", ".join(
            f"{key} was {before.get(key)} and is now {said[key]}" for key in said if before.get(key) != said[key]
        )
        raise ResultsError(
            f"{str(stats.parent)!r} holds shards that were chosen another way ({names}): name another folder."
        )
    return counts


def _copy_tar(shard: str, path: Path, kept: set[str]) -> dict[str, int]:
    """Copy the samples of kept images."""
    keys = {_key(name) for name in kept}
    count, size = 0, 0
    mode: Any = "w|" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with replacing(path) as partial, tarfile.open(partial, mode, format=tarfile.PAX_FORMAT) as new:
        for member, data in _with_content(shard, keys):
            new.addfile(member.info, data)
            count, size = count + 1, size + member.info.size
    return {"members": count, "bytes": size}


def _with_content(shard: str, keys: set[str]) -> Iterator[tuple[Member, Any]]:
    """The members that are copied, each with its content as a stream."""
    try:
        for member in members(shard):
            if isinstance(member, Member) and printable(member.key) in keys and not is_outside(member.name):
                yield member, member.stream() if member.info.isreg() else None
    except (*DAMAGE, OSError) as error:
        raise store_error(shard, error) from error


def _copy_rows(shard: str, path: Path, kept: set[str]) -> dict[str, int]:
    import numpy as np
    from pyarrow import ArrowException, parquet

    numbers = np.array(sorted(map(int, kept)))
    try:
        with opened(shard) as source, replacing(path) as partial:
            file = parquet.ParquetFile(source)
            first = 0
            with parquet.ParquetWriter(partial, file.schema_arrow) as new:
                for batch in file.iter_batches(256):
                    here = numbers[(numbers >= first) & (numbers < first + len(batch))] - first
                    if len(here):
                        new.write_batch(batch.take(here))
                    first += len(batch)
    except ArrowException as error:
        raise store_error(shard, error) from error
    return {}


def _key(member: str) -> str:
    folder, base = posixpath.split(member)
    return posixpath.join(folder, base.partition(".")[0])
