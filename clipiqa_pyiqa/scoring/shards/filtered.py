"""New shards of the images that are chosen by their scores."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
from pyarrow import parquet

from ...errors import CLIPIQAError, FilePath, Progress, checked, counted, first_of, silent
from ...files.names import printable
from ...files.writing import check_folder, replacing, resolved
from ...images.image import MISSING, NoImage
from ...results.columns import UNREAD, ResultsError
from ...results.folder import ShardResult, check_outside, read_table, summary_of
from ...results.scores import CUTS, Scores, choose, find_direction, unscored_note
from ...sources.finding import split_name
from ...sources.stores import LARGEST_IMAGE, ShardError, address_of, source_at
from ...sources.tables import opened_table
from ...sources.tar import members, split_key

_CHANGED = "it has changed since it was scored"


@dataclass(frozen=True)
class FilteredSet:
    """What :func:`filter_shards` did.

    Attributes:
        direction: Which column was compared, and whether low or high is good.
        problems: Shard -> why its images are not copied.
        shared: Kept sample with several images -> their number.
        notes: Sentences about results that are missing or left out.
    """

    direction: str
    shards: int
    kept: int
    images: int
    unscored: Sequence[str]
    problems: dict[str, str]
    shared: Mapping[str, int]
    notes: Sequence[str]

    def sentences(self) -> list[str]:
        of_all = f"{self.kept:,} of {counted(self.images, 'image')}"
        lines = [self.direction, f"{of_all} kept, in {counted(self.shards, 'new shard')}"]
        lines += unscored_note(self.unscored)
        if self.shared:
            sample, count = next(iter(self.shared.items()))
            lines.append(
                f"{counted(len(self.shared), 'kept sample')} with several images, such as {sample!r} with {count}: a "
                "sample's members share the name before the first dot, and are kept together"
            )
        return [*lines, *(f"not copied: {why}" for why in self.problems.values()), *self.notes]


@checked
def filter_shards(
    results: FilePath,
    into: FilePath,
    *,
    worst: int | str | None = None,
    best: int | str | None = None,
    above: float | str | None = None,
    below: float | str | None = None,
    drop_worst: float | str | None = None,
    column: str | None = None,
    lower_better: bool | None = None,
    partial: bool = False,
    despite_changes: bool = False,
    progress: Progress = silent,
) -> FilteredSet:
    """Copy images chosen by score into new shards, as ``clipiqa rank OUT --above 0.6 --write-shards DIR`` does.

    Samples of tar archives are copied whole, byte for byte; rows of Parquet files, with all columns.

    Args:
        worst, best: How many images to keep, or a share such as ``'10%'``.
        above, below: Keep images at least as good as this score, or all but the worst share; ``below`` keeps the
            others.
        column: Column to compare; None means the first score.
        lower_better: Whether low values are good; None: the results or the column's name decides.
        partial: Accept a run that has not scored all shards.
        despite_changes: Also copy from shards that have changed since they were scored.
    """
    cuts = {"worst": worst, "best": best, "above": above, "below": below, "drop_worst": drop_worst}
    if not any(cut is not None for cut in cuts.values()):
        raise CLIPIQAError(f"nothing says which images to keep: pass `{'`, `'.join(CUTS)}`.")
    summary = summary_of(results, partial=partial)
    found, source, target = summary.results, address_of(results), resolved(into)
    check_outside(target, results)
    if not found:
        raise ResultsError(f"{str(results)!r} holds no results yet: score its shards first.")
    if target.is_dir() and any(target.iterdir()):
        raise ResultsError(f"{str(into)!r} holds files: name an empty folder for the new shards.")
    column = column or summary.head.scores[0]
    parts = [_scores(result, column) for result in found]
    scores, empty = pandas.concat(parts), pandas.DataFrame()
    known = Scores(empty, empty, summary.head.by_name, file=str(results), ours=True)
    direction = find_direction([known], column, lower_better)
    chosen = set(scores.index[np.concatenate(choose(list(scores.index), scores, direction.lower_better, cuts))])
    wanted = [
        (result, names)
        for result, part in zip(found, parts, strict=True)
        if (names := [name for name in part.index if name in chosen])
    ]
    changed = [
        f"{result.shard!r} has changed since it was scored"
        for result, _ in wanted
        if not despite_changes and source_at(result.shard).stamp() not in (None, MISSING, result.stamp)
    ]
    if changed:
        raise CLIPIQAError(f"{first_of(changed)}: nothing was written; score again, or pass despite_changes.")
    check_folder(into)
    shards, written, problems = 0, set[str](), dict[str, str]()
    for number, (result, names) in enumerate(wanted, 1):
        folder = (target / result.path.removeprefix(source).lstrip("/")).parent
        copied, problem = _copied(result, folder, names)
        if problem:
            problems[result.shard] = problem
        written |= copied
        shards += bool(copied)
        progress(number, len(wanted))
    kept, unscored = written.intersection(scores.dropna().index), sorted({*scores.index[scores.isna()]} - written)
    samples = Counter(f"{split_name(name)[0]}::{sample_of(name)}" for name in kept)
    shared = {sample: count for sample, count in samples.items() if count > 1}
    return FilteredSet(
        f"{column}: {direction}", shards, len(kept), len(scores), unscored, problems, shared, summary.notes()
    )


def _scores(result: ShardResult, column: str) -> pandas.Series:
    if column not in (known := result.schema.names):
        raise CLIPIQAError(f"there is no column {column!r} in {result.path!r}: its columns are {', '.join(known)}.")
    table = read_table(result.path, ["path", column, "kind"])
    try:
        values = table[column].cast(pyarrow.float64())
    except pyarrow.ArrowException as error:
        raise CLIPIQAError(f"the column {column!r} must hold numbers; it holds {table[column].type}.") from error
    is_unread = table["kind"].to_pandas().isin(UNREAD).to_numpy()
    return pandas.Series(values.to_numpy(), table["path"].to_pylist(), float).mask(is_unread)  # null becomes NaN


def _copied(result: ShardResult, folder: Path, kept: Sequence[str]) -> tuple[set[str], str]:
    """Copy images; return the names of the copied ones, and why others are missing."""
    copy = {"tar": _copy_tar, "parquet": _copy_rows}.get(result.kind)
    if not copy:
        return set(), f"{counted(len(kept), 'kept image')} of {result.shard!r}, which is not a shard of images"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        written, why = copy(result.shard, folder / Path(result.shard).name, kept)
    except ShardError as error:
        return set(), str(error)
    what = counted(lost, "kept image") if (lost := len(set(kept) - written)) else "a part"
    return written, f"{what} of {result.shard!r}: {why or _CHANGED}" if lost or why else ""


def sample_of(name: str) -> str:
    return split_key(split_name(name)[1])[0]


def _copy_tar(shard: str, path: Path, kept: Sequence[str]) -> tuple[set[str], str]:
    keys, written, why = set(map(sample_of, kept)), set[str](), ""
    named = split_name(kept[0])[0]  # in results, the shard may have a relative path
    mode: Any = "w|" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with replacing(path) as partial, tarfile.open(str(partial), mode, format=tarfile.PAX_FORMAT) as new:
        for member in members(shard, lambda member: printable(member.key) in keys):
            if isinstance(member, NoImage):
                why = member.problem
            elif printable(member.key) not in keys or member.is_outside:
                continue
            elif member.isreg() and member.size > LARGEST_IMAGE:
                why = f"its member {member.name!r} is larger than 1 GiB"
            else:
                new.addfile(member, io.BytesIO(member.data))
                written.add(f"{named}::{printable(member.shown)}")
        if written.isdisjoint(kept):
            raise ShardError(f"the kept images of {shard!r}: {why or _CHANGED}")
    return written, why


def _copy_rows(shard: str, path: Path, kept: Sequence[str]) -> tuple[set[str], str]:
    rows = {name: int(split_name(name)[1]) for name in kept}
    numbers, first = np.array(sorted(rows.values())), 0
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
    return {name for name, row in rows.items() if row < first}, ""
