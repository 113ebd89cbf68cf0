"""Summary of a folder of results by shard, and one merged file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import counted, first_of
from ...errors.arguments import checked
from ...files.writing import check_output, replacing, resolved
from ...images.source import reason, skipped_note
from ...sources.stores import address_of, joined
from ..result_files import format_of
from ..rows import Header, ResultsError, write_tables
from .results import ShardResult, read_run, read_shard_result, read_table, results_in, way_of_scoring

if TYPE_CHECKING:
    import pandas
    import pyarrow

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ShardedResult:
    """A summary of results by shard.

    Attributes:
        results: Results of the run in ``run.json``.
        missing: Shard without a valid result -> the reason.
        left_out: Other Parquet files in the folder.
        unread: Shard or path that this run could not read -> the reason.
        states: State of this run's shards, such as ``'kept'`` -> their number.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    header: Header
    results: Sequence[ShardResult] = field(repr=False)
    missing: Mapping[str, str]
    left_out: Sequence[str]
    unread: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        return len(self.results)

    @property
    def shard_count(self) -> int:
        return len(self.results) + len(self.missing)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.unread

    @property
    def images(self) -> int:
        return sum(result.images for result in self.results)

    @property
    def failures(self) -> Counter[str]:
        """Return kind of failure -> number of images."""
        failures = Counter[str]()
        for result in self.results:
            failures.update(result.failures)
        return failures

    @property
    def scored(self) -> int:
        return self.images - self.failures.total()

    @property
    def absent(self) -> dict[str, list[str]]:
        """Return kept name -> archives none of whose samples has it."""
        found: dict[str, list[str]] = {}
        for result in self.results:
            for each in result.schema if result.kind == "tar" else ():
                if str(each.type) == "null":
                    found.setdefault(each.name, []).append(result.shard)
        return found

    def tables(self) -> Iterator[pyarrow.Table]:
        return (read_table(result.path) for result in self.results)

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Return quantiles, one row per score column."""
        import pandas

        columns = list(self.header.columns)
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            tables = pool.map(lambda result: read_table(result.path, columns).to_pandas(), self.results)
            frames = [pandas.DataFrame(columns=columns, dtype=float), *tables]
        found = pandas.concat(frames).quantile(list(at)).T
        return found.set_axis([f"{100 * level:g} %" for level in at], axis=1)

    def sentences(self) -> list[str]:
        failures = self.failures
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.most_common())
        clauses = [
            f"{self.shards} of {counted(self.shard_count, 'shard')}, {counted(self.images, 'image')}: "
            f"{self.scored:,} scored, {failures.total():,} failed{f' ({kinds})' if kinds else ''}"
        ]
        if self.states:
            clauses.append("this run: " + ", ".join(f"{count:,} {state}" for state, count in self.states.items()))
        clauses += [f"no result: {why}" for why in self.unread.values()]
        if empty := [repr(result.shard) for result in self.results if not result.images]:
            clauses.append(f"without images: {first_of(empty)}")
        for name, shards in self.absent.items():
            clauses.append(f"`keep` names {name!r}, but no sample of {first_of(map(repr, shards))} has it")
        if not self.states:  # a run tells at its start what it leaves out
            clauses += self.notes()
        if self.skipped:
            clauses.append(skipped_note(self.skipped))
        return clauses

    def notes(self) -> list[str]:
        notes = []
        if self.missing:
            shards = counted(len(self.missing), "shard")
            notes.append(f"{shards} without a valid result: {first_of(self.missing.values())}")
        if self.left_out:
            notes.append(left_out_note(self.left_out))
        return notes


def left_out_note(files: Collection[str]) -> str:
    return f"results that belong to no shard of this run are left out: {first_of(map(repr, sorted(files)))}"


def summary_of(out: str | Path, *, partial: bool = True) -> ShardedResult:
    """Return a folder's summary. Raises ``ResultsError`` if shards have no result, unless ``partial``."""
    folder = address_of(out)
    run = read_run(folder)
    if run is None:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    there, results, missing = results_in(folder), list[ShardResult](), dict[str, str]()
    wanted = way_of_scoring(run.header)
    for name, (shard, stamp) in run.shards.items():
        try:
            if name not in there:
                raise ResultsError(f"{shard!r} is not scored")
            result = read_shard_result(joined(folder, name))
            if result.shard != shard or way_of_scoring(result.header) != wanted:
                raise ResultsError(f"the result of {shard!r} is from an earlier run")
            if stamp not in (None, result.stamp):
                raise ResultsError(f"{shard!r} has changed since it was scored")
        except ResultsError as error:
            missing[shard] = str(error)
        else:
            # thousands of equal headers would take much memory
            results.append(replace(result, header=results[0].header) if results else result)
    if missing and not partial:
        raise ResultsError(
            f"{str(out)!r} is not finished: {len(missing):,} of {counted(len(run.shards), 'shard')} have no valid "
            f"result ({first_of(missing.values())}): score the rest, or set `partial` to take what is there."
        )
    header = results[0].header if results else run.header
    return ShardedResult(header, results, missing, sorted(there - run.shards.keys()))


def check_outside(target: Path, results: str | Path) -> None:
    if target.is_relative_to(resolved(address_of(results))):
        raise ResultsError(
            f"{str(target)!r} lies in the folder of the results: name a place outside of {str(results)!r}."
        )


@checked
def merge_shards(
    out: str | Path, path: str | Path | None = None, *, overwrite: bool = False, partial: bool = False
) -> ShardedResult:
    """Merge a folder's results by shard into one file, as ``clipiqa score --merge OUT`` does.

    Args:
        out: The folder, on disk or in a store.
        path: A csv, jsonl or parquet file; None means ``OUT.parquet`` beside the folder on disk.
        overwrite: Replace an existing file.
        partial: Accept a run that has not scored all shards.

    Returns:
        A summary of the file.

    Raises:
        ResultsError: There are no results, or not those of all shards; their columns differ; or the file cannot be
            written.
    """
    import pyarrow

    target = resolved(path or f"{address_of(out).rstrip('/')}.parquet")
    format = format_of(target)
    check_outside(target, out)
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out, partial=partial)
    try:
        schemas = [each.schema for each in found.results] or [found.header.schema]
        schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ResultsError(f"the shards' columns hold different types: {reason(error)}.") from error
    schema = schema.with_metadata(found.header.schema.metadata)
    with replacing(target) as unfinished:
        write_tables(unfinished, format, schema, (_with_schema(table, schema) for table in found.tables()))
    return found


def _with_schema(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    whole = [schema.empty_table(), table]
    return pyarrow.concat_tables(whole, promote_options="permissive")  # missing cells are null
