"""New shards of the images that are chosen by their scores."""

from __future__ import annotations

import io
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
from ...files.writing import check_folder, replacing, resolved
from ...images.source import NoImage
from ...sources.members import MOST_BYTES, ShardError
from ...sources.parquet import opened_table
from ...sources.recorded import split_name
from ...sources.stores import address_of
from ...sources.tar import members, split_key
from ..cuts import value_of
from ..rows import ResultsError
from .summary import ShardResult, read_table, summary_of


@dataclass(frozen=True)
class FilteredSet:
    """Numbers of new shards, kept images and all images.

    Attributes:
        problems: Shard -> why images are not copied.
        notes: Sentences about results that are missing or left out.
    """

    shards: int
    kept: int
    images: int
    problems: dict[str, str]
    notes: Sequence[str] = ()

    def sentences(self) -> list[str]:
        counts = f"{self.kept:,} of {counted(self.images, 'image')} kept, in {counted(self.shards, 'new shard')}"
        return [counts, *(f"not copied: {why}" for why in self.problems.values()), *self.notes]


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
    partial: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> FilteredSet:
    """Copy images chosen by score into new shards, as ``clipiqa rank OUT --above 0.6 --write-shards DIR`` does.

    From tar archives, whole samples are copied byte for byte; from Parquet files, rows with all columns.

    Args:
        results: The folder of :func:`~clipiqa_pyiqa.score_sources`.
        into: The folder of the new shards.
        above: The lowest value to keep; ``'10%'`` is the value that 10 % of all images do not reach.
        below: The highest value to keep; a percentage works as in ``above``.
        drop_worst: ``'10%'`` leaves out the worst tenth.
        worst: The number of worst images to keep.
        column: The column to compare; None means the first score.
        partial: Use what is there, although shards of the run have no result yet.
        progress: Called after each result with two numbers: the results done, and all results.

    Raises:
        CLIPIQAError: No condition is given, a column or results are missing, or ``into`` holds files or lies in
            ``results``.
    """
    cuts = {"above": above, "below": below, "drop_worst": drop_worst, "worst": worst}
    cuts = {name: value for name, value in cuts.items() if value is not None}
    if not cuts:
        raise CLIPIQAError("nothing says which images to keep: pass above, below, drop_worst or worst.")
    summary = summary_of(results, partial=partial)
    found, source, target = summary.results, address_of(results), resolved(into)
    if target.is_relative_to(resolved(source)):
        raise ResultsError(
            f"{str(into)!r} lies in the folder of the results: name a folder outside of {str(results)!r}."
        )
    check_folder(into, [])
    if not found:
        raise ResultsError(f"{str(results)!r} holds no results yet: score its shards first.")
    if any(target.iterdir()):
        raise ResultsError(f"{str(into)!r} holds files: name an empty folder for the new shards.")
    column = column or found[0].header.columns[0]
    is_kept = _condition(found, column, cuts)
    total, problems = Counter[str](), dict[str, str]()
    for number, result in enumerate(found, 1):
        names, values = _values(result, column)
        kept = names[is_kept(values)].tolist()
        total["images"] += len(names)
        try:
            if result.kind not in ("tar", "parquet"):
                raise ShardError(
                    f"{counted(len(kept), 'kept image')} of {result.shard!r}, which is not a shard of images"
                )
            folder = (target / result.path.removeprefix(source).lstrip("/")).parent
            if kept:
                folder.mkdir(parents=True, exist_ok=True)
                copy = _copy_tar if result.kind == "tar" else _copy_rows
                written, why = copy(result.shard, folder / Path(result.shard).name, kept)
                total["shards"] += 1
                total["kept"] += written
                if written < len(kept) or why:
                    lost = f"{counted(len(kept) - written, 'kept image')} of {result.shard!r}"
                    problems[result.shard] = f"{lost}: {why or 'it has changed since it was scored'}"
        except ShardError as error:
            problems[result.shard] = str(error)
        if progress is not None:
            progress(number, len(found))
    return FilteredSet(total["shards"], total["kept"], total["images"], problems, summary.notes())


def _condition(
    found: Sequence[ShardResult], column: str, cuts: Mapping[str, Any]
) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    values = np.concatenate([_values(result, column)[1] for result in found])
    record = found[0].header.provenance.get("scores", {}).get(column, {})
    sign = -1 if record.get("lower_better", False) else 1  # a high value of sign * value is good
    share = str(cuts.get("drop_worst", "0%"))
    if not share.endswith("%"):
        raise CLIPIQAError(f"drop_worst must be a percentage such as 10%; got {share}.")
    low = value_of(cuts.get("above", -np.inf), values, "above")
    high = value_of(cuts.get("below", np.inf), values, "below")
    floor = value_of(share, sign * values, "drop_worst")
    ceiling = np.append(np.sort(sign * values[~np.isnan(values)])[: cuts.get("worst")], -np.inf).max()
    return lambda x: (x >= low) & (x <= high) & (sign * x >= floor) & (sign * x <= ceiling)


def _values(result: ShardResult, column: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    import pyarrow

    if column not in (known := result.schema.names):
        raise CLIPIQAError(f"there is no column {column!r} in {result.path!r}: its columns are {', '.join(known)}.")
    table = read_table(result.path, ["path", column])
    try:
        values = table[column].cast(pyarrow.float64()).to_numpy()
    except pyarrow.ArrowException as error:
        raise CLIPIQAError(f"the column {column!r} must hold numbers; it holds {table[column].type}.") from error
    return table["path"].to_numpy(zero_copy_only=False), values


def _copy_tar(shard: str, path: Path, kept: Sequence[str]) -> tuple[int, str]:
    """Return the number of kept images that were copied, and what else was not copied."""
    wanted = {split_name(name)[1] for name in kept}
    keys, written, why = {split_key(name)[0] for name in wanted}, 0, ""
    mode: Any = "w|" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with replacing(path) as partial, tarfile.open(str(partial), mode, format=tarfile.PAX_FORMAT) as new:
        for member in members(shard, lambda member: printable(member.key) in keys):
            if isinstance(member, NoImage):
                why = member.problem
            elif printable(member.key) not in keys or member.is_outside:
                continue
            elif member.info.isreg() and member.info.size > MOST_BYTES:
                why = f"its member {member.name!r} is larger than 1 GiB"
            else:
                new.addfile(member.info, io.BytesIO(member.data))
                written += printable(member.name) in wanted
        if not written:
            raise ShardError(f"no kept image of {shard!r}: {why or 'it has changed since it was scored'}")
    return written, why


def _copy_rows(shard: str, path: Path, kept: Sequence[str]) -> tuple[int, str]:
    from pyarrow import parquet

    numbers = np.array(sorted(int(split_name(name)[1]) for name in kept))
    first, written = 0, 0
    with (
        opened_table(shard) as table,
        replacing(path) as partial,
        parquet.ParquetWriter(partial, table.schema_arrow) as new,
    ):
        for batch in table.iter_batches(256):
            here = numbers[(numbers >= first) & (numbers < first + len(batch))] - first
            if len(here):
                new.write_batch(batch.take(here))
            first, written = first + len(batch), written + len(here)
    return written, ""
