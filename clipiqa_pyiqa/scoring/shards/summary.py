"""What a folder of results by shard comes to: counts, failures by kind, quantiles; and one file of all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arguments import checked
from ...errors import counted
from ...files.writing import check_output, replacing, write_text
from ...images.formats import skipped_note
from ..rows import _PARQUET_KEY, Header, ResultsError
from .files import BINS, Counts, ShardResult, cast, common_schema, read_shard_result, read_table
from .jobs import Part, check_same, results_in

if TYPE_CHECKING:
    import pandas
    import pyarrow

SHOWN = 10  # shards without a result that a summary names
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class ShardedResult:
    """What is in a folder of results by shard.

    Attributes:
        out: The folder.
        header: Names of the score columns, and which CLIP-IQA made them.
        shards: How many shards have a result.
        of: How many there are, as far as the results say.
        counts: Images, failures by kind, and photos that were passed over.
        unread: Shards that a run could not read -> why.
        elsewhere: Shards that another run is at.
        part: The share of the shards that a run was for.
    """

    out: Path
    header: Header
    shards: int
    of: int
    counts: Counts
    unread: Mapping[str, str] = field(default_factory=dict)
    elsewhere: int = 0
    part: Part = field(default_factory=Part)

    def after(self, of: int, unread: Mapping[str, str], elsewhere: int, part: Part) -> ShardedResult:
        """The same, with what a run knows besides."""
        return replace(self, of=max(self.of, of), unread=unread, elsewhere=elsewhere, part=part)

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
            total = np.cumsum(self.counts.histograms.get(column, np.zeros(BINS, np.int64)))
            places = [np.searchsorted(total, max(1, level * total[-1])) for level in at]
            rows[column] = [low + (place + 0.5) / BINS * (high - low) if total[-1] else np.nan for place in places]
        return pandas.DataFrame.from_dict(rows, orient="index", columns=[f"{100 * level:g} %" for level in at])

    def sentences(self) -> list[str]:
        """What people want to know of it, as clauses."""
        counts = self.counts
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.failures.most_common())
        said = [
            f"{self.shards} of {counted(self.of, 'shard')}, {counted(counts.images, 'image')}: "
            f"{counts.scored:,} scored, {counts.failed:,} "
            f"failed{f' ({kinds})' if kinds else ''}"
        ]
        said += [f"no result: {why}" for why in list(self.unread.values())[:SHOWN]]
        if len(self.unread) > SHOWN:
            said.append(f"no result: {counted(len(self.unread) - SHOWN, 'more shard')}")
        if self.elsewhere:
            said.append(f"being scored by another run: {counted(self.elsewhere, 'shard')}")
        return said + ([note] if (note := skipped_note(counts.skipped)) else [])

    def save(self, path: str | Path) -> None:
        """Write counts, failures and quantiles as JSON."""
        said = {
            "shards": self.shards, "of": self.of, "images": self.counts.images, "scored": self.counts.scored,
            "failed": self.counts.failed, "failures": dict(self.counts.failures),
            "skipped": dict(self.counts.skipped), "unread": dict(self.unread),
            "quantiles": self.quantiles().to_dict("index"), "provenance": dict(self.header.provenance),
        }  # fmt: skip
        write_text(path, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def summary_of(out: str | Path) -> ShardedResult:
    """What the results in a folder come to; no scores are read.

    Raises:
        ResultsError: A file in it is no result of a shard, or was made with another metric.
    """
    counts, shards, of, header = Counts(), 0, 0, Header((), {})
    for result in shard_results(out):
        counts, shards, of = counts + result.counts, shards + 1, max(of, result.of)
        header = result.header if not header.provenance else header
    return ShardedResult(Path(out), header, shards, of, counts)


def shard_results(out: str | Path) -> Iterator[ShardResult]:
    """The results in a folder, in the order of their names, all made the same way."""
    first: ShardResult | None = None
    for path in results_in(Path(out)):
        result = read_shard_result(path)
        if first is not None:
            check_same(path, first.header, result.header)
        first = first or result
        yield result


@checked
def merge_shards(out: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> ShardedResult:
    """Make one file of the results by shard in a folder: ``clipiqa score --merge OUT``.

    Args:
        out: The folder.
        path: ``.parquet``, ``.csv`` or ``.jsonl``; None is a Parquet file beside the folder, with its name.
        overwrite: Replace the file.

    Returns:
        What is in it.

    Raises:
        ResultsError: The folder holds no results, or some that do not go together, or the file cannot be written.
    """
    from pyarrow import parquet

    folder = Path(out).expanduser()
    if not folder.is_dir():
        raise ResultsError(f"--merge takes a folder of results by shard, but {str(out)!r} is none.")
    target = folder.absolute().with_name(f"{folder.absolute().name}.parquet") if path is None else Path(path)
    if target.suffix not in _WRITERS:
        raise ResultsError(f"{str(target)!r} names no format to merge into: use one of {', '.join(_WRITERS)}.")
    if target.absolute().is_relative_to(folder.absolute()):
        raise ResultsError(f"{str(target)!r} lies among the results by shard: name a file outside of {str(folder)!r}.")
    target = check_output(target, overwrite=overwrite)
    found = summary_of(folder)
    if not found.shards:
        raise ResultsError(f"{str(out)!r} holds no results by shard: score something into it first.")
    paths = results_in(folder)
    schema = common_schema([parquet.read_schema(each).remove_metadata() for each in paths])
    said = {"columns": found.header.columns, "provenance": dict(found.header.provenance)}
    metadata = {_PARQUET_KEY: json.dumps(said), b"PANDAS_ATTRS": json.dumps(dict(found.header.provenance))}
    with replacing(target) as partial:
        tables = (cast(read_table(each), schema) for each in paths)
        _WRITERS[target.suffix](partial, schema.with_metadata(metadata), tables)
    return found


def _write_parquet(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def _write_csv(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    from ..rows import csv_line

    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(csv_line(schema.names))
        for table in tables:
            file.writelines(csv_line(row.values()) for row in table.to_pylist())


def _write_jsonl(path: Path, schema: pyarrow.Schema, tables: Iterator[pyarrow.Table]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for table in tables:
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())


_WRITERS: dict[str, Any] = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
