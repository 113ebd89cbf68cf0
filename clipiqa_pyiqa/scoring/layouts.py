"""Rows as lines of CSV or JSON, as an aligned table, and as files of each format."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.names import csv_line, one_line
from ..prompts.provenance import as_texts
from .rows import Header, Row

if TYPE_CHECKING:
    import pyarrow


class AlignedText:
    """A table for people; its last line holds the mean scores."""

    def __init__(self, header: Header, paths: Collection[str] = ()) -> None:
        self.header, self._scores = header, list[tuple[float | None, ...]]()
        self.widths = [max(len(name), 6) for name in header.columns]
        self.path_width = max(len("mean of 1000"), min(60, max(map(len, paths), default=0)))

    def head(self) -> str:
        provenance = ", ".join(f"{key} {value}" for key, value in as_texts(self.header.provenance).items())
        return f"# {one_line(provenance)}\n" + self._line("path", self.header.columns, "size")

    def row(self, row: Row) -> str:
        if row.scores is None:
            return self._line(row.path, ["-"] * len(self.widths), "not scored")
        self._scores.append(row.scores)
        size, scored = f"{row.width}×{row.height}", f"{row.scored_width}×{row.scored_height}"
        notes = [size if size == scored else f"{size} as {scored}", row.converted, row.flag]
        cells = ["-" if score is None else f"{score:.4f}" for score in row.scores]
        return self._line(row.path, cells, ", ".join(filter(None, notes)))

    def foot(self) -> str:
        count = len(self._scores)
        columns = [[score for score in scores if score is not None] for scores in zip(*self._scores, strict=True)]
        means = [f"{sum(scores) / len(scores):.4f}" if scores else "-" for scores in columns]
        return self._line(f"mean of {count}", means, "") if count > 1 else ""

    def _line(self, path: str, cells: Sequence[str], note: str) -> str:
        scores = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, self.widths, strict=True))
        return one_line(f"{path:<{self.path_width}}  {scores}  {note}".rstrip()) + "\n"


def write_tables(path: Path, format: str, schema: pyarrow.Schema, tables: Iterable[pyarrow.Table]) -> None:
    """Write tables, one after the other, to a csv, jsonl or parquet file."""
    if format == "parquet":
        from pyarrow import parquet

        with parquet.ParquetWriter(path, schema, write_page_checksum=True) as writer:
            for table in tables:
                writer.write_table(table)
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(csv_line(schema.names) if format == "csv" else "")
        for table in tables:
            file.writelines(line_of(format, row) for row in table.to_pylist())


def line_of(format: str, cells: Mapping[str, Any]) -> str:
    return csv_line(cells.values()) if format == "csv" else json.dumps(cells, ensure_ascii=False, default=str) + "\n"
