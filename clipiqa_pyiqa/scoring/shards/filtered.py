"""New shards of the images that are chosen by their scores."""

from __future__ import annotations

import json
import os
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
from ...sources.tar import DAMAGE, Member, members, split_key
from ..cuts import value_of
from ..rows import ResultsError
from .summary import ShardResult, read_table, shard_results

STATS = ".stats.json"


@dataclass(frozen=True)
class FilteredSet:
    """Numbers of new shards, kept images, all images, and kept images without a shard."""

    shards: int
    kept: int
    images: int
    not_copied: int
    problems: dict[str, str]

    def sentences(self) -> list[str]:
        clauses = [f"{self.kept:,} of {counted(self.images, 'image')} kept, in {counted(self.shards, 'new shard')}"]
        if self.not_copied:
            clauses.append(f"not copied: {counted(self.not_copied, 'kept image')} in no tar archive or Parquet file")
        return [*clauses, *(f"not copied: {why}" for why in self.problems.values())]


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
    """Copy images chosen by score into new shards, as ``clipiqa rank OUT --above 0.6 --write-shards DIR`` does.

    From tar archives, whole samples are copied byte for byte; from Parquet files, rows with all columns.
    ``NAME.stats.json`` beside a new shard marks the shard as complete; a complete shard is not copied again.

    Args:
        results: The folder of :func:`~clipiqa_pyiqa.score_sources`.
        into: The folder of the new shards.
        above: The lowest value to keep; ``'10%'`` is the value that 10 % of all images do not reach.
        below: The highest value to keep; a percentage works as in ``above``.
        drop_worst: ``'10%'`` leaves out the worst tenth.
        worst: The number of worst images to keep.
        column: The column to compare; None means the first score.
        progress: Called after each result with two numbers: the results done, and all results.

    Returns:
        Counts of images and shards.

    Raises:
        CLIPIQAError: No condition is given, a column or the results are missing, or ``into`` holds other shards.
    """
    cuts = {"above": above, "below": below, "drop_worst": drop_worst, "worst": worst}
    cuts = {name: value for name, value in cuts.items() if value is not None}
    if not cuts:
        raise CLIPIQAError("nothing says which images to keep: pass above, below, drop_worst or worst.")
    found, source, target = list(shard_results(results)), address_of(results), check_folder(into, [])
    if not found:
        raise ResultsError(f"{str(results)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    if str(target) == os.path.realpath(source):
        raise ResultsError(f"{str(into)!r} holds the results: name another folder for the new shards.")
    column = column or found[0].header.columns[0]
    is_kept = _condition(found, column, cuts)
    total, problems = Counter[str](), dict[str, str]()
    for number, result in enumerate(found, 1):
        names, values = _values(result, column)
        kept = names[is_kept(values)].tolist()
        total["images"] += len(names)
        try:
            if result.kind in ("tar", "parquet"):
                path = target / result.path.removeprefix(source).lstrip("/").removesuffix(".parquet")
                total["shards"] += _copy(result, path, {"column": column, **cuts}, kept)
                total["kept"] += len(kept)
            else:
                total["not_copied"] += len(kept)
        except ShardError as error:
            problems[result.shard] = str(error)
        if progress is not None:
            progress(number, len(found))
    return FilteredSet(total["shards"], total["kept"], total["images"], total["not_copied"], problems)


def _condition(
    found: Sequence[ShardResult], column: str, cuts: Mapping[str, Any]
) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    is_relative = any(isinstance(value, str) or name == "worst" for name, value in cuts.items())
    values = np.concatenate([_values(result, column)[1] for result in found]) if is_relative else np.empty(0)
    low = value_of(cuts.get("above", -np.inf), values, "above")
    high = value_of(cuts.get("below", np.inf), values, "below")
    record = found[0].header.provenance.get("scores", {}).get(column, {})
    sign = -1 if record.get("lower_better", False) else 1  # a high value of sign * value is good
    floor, ceiling = -np.inf, np.inf
    if "drop_worst" in cuts:
        if not str(cuts["drop_worst"]).endswith("%"):
            raise CLIPIQAError(f"drop_worst must be a percentage such as 10%; got {cuts['drop_worst']}.")
        floor = value_of(cuts["drop_worst"], sign * values, "drop_worst")
    if "worst" in cuts and len(known := np.sort(sign * values[~np.isnan(values)])):
        ceiling = known[: cuts["worst"]][-1]
    return lambda x: (x >= low) & (x <= high) & (sign * x >= floor) & (sign * x <= ceiling)


def _values(result: ShardResult, column: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return a result's image names, and the values or NaN."""
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


def _copy(result: ShardResult, path: Path, choice: Mapping[str, Any], kept: list[str]) -> bool:
    """Copy a shard's kept images, unless already copied; return whether images are kept."""
    suffix = "".join(Path(result.shard).suffixes[-2 if result.shard.endswith((".gz", ".bz2", ".xz")) else -1 :])
    path = path.with_name(f"{path.name.removesuffix(suffix)}{suffix}")
    stats = path.with_name(path.name + STATS)
    record = {"shard": result.shard, "results": result.header.metric, **choice, "kept": len(kept)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if stats.exists():
        if json.loads(stats.read_text(encoding="utf-8")) != record:
            raise ResultsError(f"{str(path.parent)!r} holds shards chosen in another way: name another folder.")
        if path.exists():
            return True
    if kept:
        (_copy_tar if result.kind == "tar" else _copy_rows)(result.shard, path, kept)
    write_text(stats, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return bool(kept)


def _copy_tar(shard: str, path: Path, kept: Sequence[str]) -> None:
    keys = {split_key(split_name(name)[1])[0] for name in kept}
    mode: Any = "w|" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    try:
        with replacing(path) as partial, tarfile.open(str(partial), mode, format=tarfile.PAX_FORMAT) as new:
            for member in members(shard):
                if isinstance(member, Member) and printable(member.key) in keys and not member.is_outside:
                    new.addfile(member.info, member.stream() if member.info.isreg() else None)
    except DAMAGE as error:
        raise store_error(shard, error) from error


def _copy_rows(shard: str, path: Path, kept: Sequence[str]) -> None:
    from pyarrow import parquet

    numbers = np.array(sorted(int(split_name(name)[1]) for name in kept))
    first = 0
    with (
        opened_table(shard) as table,
        replacing(path) as partial,
        parquet.ParquetWriter(partial, table.schema_arrow) as new,
    ):
        for batch in table.iter_batches(256):
            here = numbers[(numbers >= first) & (numbers < first + len(batch))] - first
            if len(here):
                new.write_batch(batch.take(here))
            first += len(batch)
