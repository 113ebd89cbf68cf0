"""From scores to a filtered set: the members of tar shards and the rows of Parquet files that score well enough."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CLIPIQAError, counted
from ...errors.arguments import checked
from ...files.names import printable
from ...files.writing import check_folder, replacing, write_text
from ...sources.members import ShardError
from ...sources.parquet import opened_table
from ...sources.recorded import split_name
from ...sources.stores import address_of, store_error
from ...sources.tar import DAMAGE, Member, is_outside, members, split_key
from ..cuts import value_of
from ..rows import ResultsError
from .files import ShardResult, read_table
from .summary import shard_results

STATS = ".stats.json"
_COUNTS = ("shards", "earlier", "kept", "images", "members", "rows", "bytes", "not_copied")


@dataclass(frozen=True)
class FilteredSet:
    """What became of a set of shards.

    Attributes:
        shards: New shards, those of earlier runs included.
        earlier: Of them, those that an earlier run wrote.
        kept: Images in them.
        images: Images with a row in the results.
        members: Members of tar archives that were copied, sidecars included.
        rows: Rows of Parquet files that were copied.
        bytes: The content of both.
        not_copied: Kept images that are in no shard that can be copied, such as loose files.
        problems: Shard -> why it was not copied.
    """

    shards: int
    earlier: int
    kept: int
    images: int
    members: int
    rows: int
    bytes: int
    not_copied: int
    problems: dict[str, str]

    def sentences(self) -> list[str]:
        """Return what became of them, as clauses."""
        earlier = f", {self.earlier} of them by an earlier run" if self.earlier else ""
        said = [
            f"{self.kept:,} of {counted(self.images, 'image')} kept, in {counted(self.shards, 'new shard')}{earlier}"
        ]
        if self.bytes:
            members, rows = counted(self.members, "member"), counted(self.rows, "row")
            said.append(f"copied: {members} of tar archives, {rows} of Parquet files, {self.bytes / 1e6:,.1f} MB")
        if self.not_copied:
            said.append(f"not copied: {counted(self.not_copied, 'kept image')} in no tar archive or Parquet file")
        return [*said, *(f"not copied: {why}" for why in self.problems.values())]


@checked
def filter_shards(
    results: str | Path,
    into: str | Path,
    *,
    above: float | str | None = None,
    below: float | str | None = None,
    drop_worst: float | str | None = None,
    worst: int | None = None,
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
        above: Keep images whose value is at least this; ``'10%'`` is the value that 10 % of all images do not reach.
        below: Keep images whose value is at most this, likewise.
        drop_worst: ``'10%'`` leaves out the tenth of the images that scores worst.
        worst: Keep so many images only, those that score worst, and any that score the same as the last of them.
        column: What is compared: a score, or any other column of numbers; None is the first score.
        progress: Called with the number of results that were dealt with, and of all.

    Raises:
        CLIPIQAError: There is nothing to compare with, no such column, no results, or ``into`` holds shards that were
            chosen another way.
    """
    asked = {"above": above, "below": below, "drop_worst": drop_worst, "worst": worst}
    asked = {name: value for name, value in asked.items() if value is not None}
    if not asked:
        raise CLIPIQAError("above, below, drop_worst or worst must say which images are kept.")
    found = list(shard_results(results))
    if not found:
        raise ResultsError(f"{str(results)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    column = column or found[0].header.columns[0]
    target = check_folder(into, [])
    if str(target) == str(Path(address_of(results)).resolve()):
        raise ResultsError(f"{str(into)!r} holds the results: name another folder for the new shards.")
    low, high = _bounds(found, column, asked)
    total, problems = Counter[str](), dict[str, str]()
    for number, result in enumerate(found, 1):
        names, values = _values(result, column)
        kept = names[(values >= low) & (values <= high)].tolist()
        try:
            total.update(_copied(result, address_of(results), target, {"column": column, **asked}, kept, len(names)))
        except ShardError as error:
            problems[result.shard] = str(error)
        if progress is not None:
            progress(number, len(found))
    return FilteredSet(**{name: total[name] for name in _COUNTS}, problems=problems)


def _bounds(found: Sequence[ShardResult], column: str, asked: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest value that is kept."""
    is_relative = any(isinstance(value, str) or name == "worst" for name, value in asked.items())
    values = np.concatenate([_values(result, column)[1] for result in found]) if is_relative else np.empty(0)
    low = value_of(asked.get("above", -np.inf), values, "above")
    high = value_of(asked.get("below", np.inf), values, "below")
    if found[0].header.provenance.get("scores", {}).get(column, {}).get("lower_better", False):
        floor, ceiling = _by_goodness(-values, asked)
        return max(low, -ceiling), min(high, -floor)
    floor, ceiling = _by_goodness(values, asked)
    return max(low, floor), min(high, ceiling)


def _by_goodness(values: NDArray[np.float64], asked: Mapping[str, Any]) -> tuple[float, float]:
    """Return the bounds that ``drop_worst`` and ``worst`` mean for values of which high is good."""
    floor, ceiling = -np.inf, np.inf
    if "drop_worst" in asked:
        if not str(asked["drop_worst"]).endswith("%"):
            raise CLIPIQAError(f"drop_worst must be a percentage such as 10%; got {asked['drop_worst']}.")
        floor = value_of(asked["drop_worst"], values, "drop_worst")
    if "worst" in asked and len(known := np.sort(values[~np.isnan(values)])):
        ceiling = known[min(asked["worst"], len(known)) - 1]
    return floor, ceiling


def _values(result: ShardResult, column: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the names of a result's images, and their values in a column, NaN where there is none."""
    import pyarrow

    with opened_table(result.path) as table:
        known = table.schema_arrow.names
    if column not in known:
        raise CLIPIQAError(f"there is no column {column!r} in {result.path!r}: its columns are {', '.join(known)}.")
    table = read_table(result.path, ["path", column])
    try:
        values = table[column].cast(pyarrow.float64()).to_numpy()
    except pyarrow.ArrowException as error:
        raise CLIPIQAError(f"the column {column!r} must hold numbers; it holds {table[column].type}.") from error
    return table["path"].to_numpy(zero_copy_only=False), values


def _copied(
    result: ShardResult, results: str, target: Path, choice: Mapping[str, Any], kept: list[str], images: int
) -> Mapping[str, int]:
    """Copy one shard, unless it has been, and return its counts."""
    if result.kind not in ("tar", "parquet"):
        return {"images": images, "not_copied": len(kept)}
    suffix = "".join(Path(result.shard).suffixes[-2:]) if result.shard.endswith((".gz", ".bz2", ".xz")) else ""
    suffix = suffix or Path(result.shard).suffix
    name = result.path.removeprefix(results).lstrip("/").removesuffix(".parquet").removesuffix(suffix)
    path = target / f"{name}{suffix}"
    stats = path.with_name(path.name + STATS)
    said = {"shard": result.shard, "results": result.header.metric, **choice}
    path.parent.mkdir(parents=True, exist_ok=True)
    if stats.exists():
        before = json.loads(stats.read_text(encoding="utf-8"))
        counts = before.pop("counts")
        if before != said:
            raise ResultsError(f"{str(target)!r} holds shards that were chosen another way: name another folder.")
        if path.exists() or not counts["kept"]:
            return {**counts, "shards": int(path.exists()), "earlier": int(path.exists())}
    counts = {"images": images, "kept": len(kept)}
    if kept:
        counts |= (_copy_tar if result.kind == "tar" else _copy_rows)(result.shard, path, kept)
    write_text(stats, json.dumps({**said, "counts": counts}, indent=1, ensure_ascii=False) + "\n")
    return {**counts, "shards": int(bool(kept))}


def _copy_tar(shard: str, path: Path, kept: Sequence[str]) -> dict[str, int]:
    """Copy the samples of kept images."""
    keys = {split_key(split_name(name)[1])[0] for name in kept}
    count, size = 0, 0
    mode: Any = "w|" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    try:
        with replacing(path) as partial, tarfile.open(partial, mode, format=tarfile.PAX_FORMAT) as new:
            for member in members(shard):
                if isinstance(member, Member) and printable(member.key) in keys and not is_outside(member.name):
                    new.addfile(member.info, member.stream() if member.info.isreg() else None)
                    count, size = count + 1, size + member.info.size
    except DAMAGE as error:
        raise store_error(shard, error) from error
    return {"members": count, "bytes": size}


def _copy_rows(shard: str, path: Path, kept: Sequence[str]) -> dict[str, int]:
    """Copy the rows of kept images."""
    from pyarrow import parquet

    numbers = np.array(sorted(int(split_name(name)[1]) for name in kept))
    first, size = 0, 0
    with (
        opened_table(shard) as table,
        replacing(path) as partial,
        parquet.ParquetWriter(partial, table.schema_arrow) as new,
    ):
        for batch in table.iter_batches(256):
            here = numbers[(numbers >= first) & (numbers < first + len(batch))] - first
            if len(here):
                new.write_batch(taken := batch.take(here))
                size += taken.nbytes
            first += len(batch)
    return {"rows": len(numbers), "bytes": size}
