"""What a folder of results by shard comes to: counts, failures by kind, quantiles; and one file of all of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import counted
from ...errors.arguments import checked
from ...files.names import csv_line
from ...files.writing import check_output, replacing
from ...images.formats import skipped_note
from ...sources.parquet import opened_table
from ...sources.stores import address_of, local_path
from ..rows import ENDS, PARQUET_KEY, Header, ResultsError
from .files import BINS, Counts, ShardResult, read_shard_result, read_table
from .jobs import check_same, results_in

if TYPE_CHECKING:
    import pandas
    import pyarrow

SHOWN = 10  # shards without a result that a summary names
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class ShardedResult:
    """What is in a folder of results by shard.

    Attributes:
        header: Names of the score columns, and which CLIP-IQA made them.
        shards: How many shards have a result.
        of: How many there are, as far as the results say.
        counts: Images, failures by kind, and photos that were skipped.
        unread: Shards that a run could not read -> why.
        elsewhere: Shards that another run is scoring.
    """

    header: Header
    shards: int
    of: int
    counts: Counts
    unread: Mapping[str, str] = field(default_factory=dict)
    elsewhere: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every shard has a result."""
        return self.shards >= self.of and not self.unread

    def quantiles(self, at: Sequence[float] = QUANTILES) -> pandas.DataFrame:
        """Quantiles of each column's scores, within a thousandth of the range of scores; a row per column."""
        import pandas

        low, high = self.counts.range
        rows = {}
        for column in self.header.columns:
            total = np.cumsum(self._histogram(column))
            places = [np.searchsorted(total, max(1, level * total[-1])) for level in at]
            rows[column] = [low + (place + 0.5) / BINS * (high - low) if total[-1] else np.nan for place in places]
        return pandas.DataFrame.from_dict(rows, orient="index", columns=[f"{100 * level:g} %" for level in at])

    def histogram_line(self, column: str, bars: int = 20) -> str:
        """Return a histogram of a column in characters, from the lowest possible score to the highest."""
        counts = np.reshape(self._histogram(column), (bars, -1)).sum(1)
        heights = np.ceil(counts / max(1, counts.max()) * len(_BARS)).astype(int)
        return "".join(" " if not height else _BARS[height - 1] for height in heights)

    def _histogram(self, column: str) -> Sequence[int]:
        return self.counts.histograms.get(column, [0] * BINS)

    def sentences(self) -> list[str]:
        """Return what the counts come to, as clauses."""
        counts = self.counts
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.failures.most_common())
        said = [
            f"{self.shards} of {counted(self.of, 'shard')}, {counted(counts.images, 'image')}: "
            f"{counts.scored:,} scored, {counts.failed:,} failed{f' ({kinds})' if kinds else ''}"
        ]
        said += [f"no result: {why}" for why in list(self.unread.values())[:SHOWN]]
        if len(self.unread) > SHOWN:
            said.append(f"no result: {counted(len(self.unread) - SHOWN, 'more shard')}")
        if self.elsewhere:
            said.append(f"being scored by another run: {counted(self.elsewhere, 'shard')}")
        return said + ([note] if (note := skipped_note(counts.skipped)) else [])


def summary_of(out: str | Path) -> ShardedResult:
    """Sum up the results in a folder, without reading scores.

    Raises:
        ResultsError: A file in it is not a result of a shard, or was made with another metric.
    """
    counts, shards, of, header = Counts(), 0, 0, Header((), {})
    for result in shard_results(out):
        counts, shards, of, header = counts + result.counts, shards + 1, max(of, result.of), result.header
    return ShardedResult(header, shards, of, counts)


def shard_results(out: str | Path) -> Iterator[ShardResult]:
    """Yield the results in a folder, in the order of their names; ``ResultsError`` if they were made in two ways."""
    first: ShardResult | None = None
    for path in results_in(address_of(out)):
        result = read_shard_result(path)
        first = first or result
        check_same(first, result.header)
        yield result


@checked
def merge_shards(out: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> ShardedResult:
    """Make one file of the results by shard in a folder: ``clipiqa score --merge OUT``.

    Args:
        out: The folder, on disk or in a store.
        path: ``.parquet``, ``.csv`` or ``.jsonl``; None is a Parquet file beside the folder, with its name.
        overwrite: Replace the file.

    Returns:
        What is in it.

    Raises:
        ResultsError: The folder holds no results, or some that do not go together, or the file cannot be written.
    """
    folder = Path(local_path(address_of(out)) or address_of(out).rpartition("/")[2]).absolute()
    target = folder.with_name(f"{folder.name}.parquet") if path is None else Path(path)
    if target.suffix not in _WRITERS:
        raise ResultsError(f"{str(target)!r} must end with one of {', '.join(_WRITERS)}.")
    if target.absolute().is_relative_to(folder):
        raise ResultsError(f"{str(target)!r} lies among the results by shard: name a file outside of {str(out)!r}.")
    target = check_output(target, overwrite=overwrite)
    found = summary_of(out)
    if not found.shards:
        raise ResultsError(f"{str(out)!r} holds no results by shard: name the folder that clipiqa score wrote.")
    paths = results_in(address_of(out))
    said = {"columns": found.header.columns, "provenance": dict(found.header.provenance)}
    metadata = {PARQUET_KEY: json.dumps(said), b"PANDAS_ATTRS": json.dumps(said["provenance"])}
    schema = _common_schema(paths).with_metadata(metadata)
    with replacing(target) as partial:
        _WRITERS[target.suffix](partial, schema, (_with_schema(read_table(each), schema) for each in paths))
    return found


def _common_schema(paths: Iterable[str]) -> pyarrow.Schema:
    """The columns of all files; one whose types do not go together becomes text."""
    import pyarrow

    kinds: dict[str, pyarrow.DataType] = {}
    for path in paths:
        with opened_table(path) as table:
            schema = table.schema_arrow
        for name, kind in zip(schema.names, schema.types, strict=True):
            try:
                pair = [pyarrow.schema({name: each}) for each in (kinds.get(name, kind), kind)]
                kinds[name] = pyarrow.unify_schemas(pair, promote_options="permissive").types[0]
            except pyarrow.ArrowException:
                kinds[name] = pyarrow.string()
    return pyarrow.schema({name: kinds[name] for name in [*(each for each in kinds if each not in ENDS), *ENDS]})


def _with_schema(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pyarrow.nulls(len(table), field.type)
        for field in schema
    ]
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _write_parquet(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_csv(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(csv_line(schema.names))
        for table in tables:
            file.writelines(csv_line(row.values()) for row in table.to_pylist())


def _write_jsonl(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for table in tables:
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())


_WRITERS: dict[str, Any] = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
