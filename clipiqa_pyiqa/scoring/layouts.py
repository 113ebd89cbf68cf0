"""Writers of rows: lines of CSV or JSON, an aligned table, and a Parquet file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import IO, Any

from ..files.names import csv_line, one_line
from ..prompts.provenance import in_words
from .rows import Header, Row

_PARQUET_GROUP = 50_000  # rows held in memory at a time


def json_line(cells: Mapping[str, Any]) -> str:
    return json.dumps(cells, ensure_ascii=False, default=str) + "\n"


class Lines:
    """One line per image: CSV after a line of column names, or JSON objects."""

    def __init__(self, format: str, header: Header) -> None:
        self._format, self.header, self._ends = format, header, header.ends

    def head(self) -> str:
        return csv_line(self.header.names) if self._format == "csv" else ""

    def row(self, row: Row) -> str:
        return self.line(row.as_dict(self.header.columns))

    def line(self, values: Mapping[str, Any]) -> str:
        """Return the line for the values of :meth:`Row.as_dict`."""
        cells = {**values, **self._ends}
        return csv_line(cells.values()) if self._format == "csv" else json_line(cells)

    def foot(self) -> str:
        return ""


class AlignedText(Lines):
    """A table for people; its last line holds the mean scores."""

    def __init__(self, header: Header, paths: Collection[str] = ()) -> None:
        super().__init__("table", header)
        self.widths = [max(len(name), 6) for name in header.columns]
        self.path_width = max(len("mean of 1000"), min(60, max(map(len, paths), default=0)))
        self._scores: list[tuple[float, ...]] = []

    def head(self) -> str:
        provenance = ", ".join(f"{key} {value}" for key, value in in_words(self.header.provenance).items())
        return f"# {one_line(provenance)}\n" + self._line("path", self.header.columns, "size")

    def row(self, row: Row) -> str:
        if row.scores is None:
            return self._line(row.path, ["-"] * len(self.widths), "not scored")
        self._scores.append(row.scores)
        size, scored = f"{row.width}×{row.height}", f"{row.scored_width}×{row.scored_height}"
        notes = [size if size == scored else f"{size} as {scored}", row.converted, row.flag]
        return self._line(row.path, [f"{score:.4f}" for score in row.scores], ", ".join(filter(None, notes)))

    def foot(self) -> str:
        count = len(self._scores)
        means = [f"{sum(scores) / count:.4f}" for scores in zip(*self._scores, strict=True)]
        return self._line(f"mean of {count}", means, "") if count > 1 else ""

    def _line(self, path: str, cells: Sequence[str], note: str) -> str:
        scores = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, self.widths, strict=True))
        return one_line(f"{path:<{self.path_width}}  {scores}  {note}".rstrip()) + "\n"


def write_parquet(file: IO[bytes], header: Header, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, as :meth:`Row.as_dict` returns them, to a Parquet file, and the header to its metadata."""
    import pyarrow
    from pyarrow import parquet

    schema, ends = header.schema, header.ends
    cells = ({**row, **ends} for row in rows)
    with parquet.ParquetWriter(file, schema, write_page_checksum=True) as writer:
        while group := list(itertools.islice(cells, _PARQUET_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
