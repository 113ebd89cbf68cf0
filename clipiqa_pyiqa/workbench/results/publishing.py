"""Writing of result files: csv, jsonl and Parquet."""

import json
from collections.abc import Iterable
from pathlib import Path

from ...files import hash_file, replacing, write_text
from ..files.csv_files import csv_line
from ..files.journal import Cells
from .companion_files import provenance_of
from .formats import line_of
from .header import Header


def publish(path: Path, format: str, header: Header, rows: Iterable[Cells]) -> None:
    """Write a csv, jsonl or parquet file of rows (column -> value, without the constant columns), and its header."""
    constants = header.constants_beside_header
    names = header.names
    row_names = header.row_names
    with replacing(path) as partial:
        if format == "parquet":
            from .parquet_file import write_parquet  # pyarrow is slow to import

            write_parquet(partial, header, rows)
            return
        with open(partial, "w", encoding="utf-8", newline="") as file:
            if format == "csv":
                file.write(csv_line(names))
                last_cells = csv_line(header.constants.values())  # of every row, so made once
                lines = (csv_line(map(row.get, row_names)).removesuffix("\n") for row in rows)
                file.writelines(f"{line},{last_cells}" for line in lines)
            else:
                for row in rows:
                    file.write(line_of(format, {**{name: row.get(name) for name in row_names}, **constants}))
        record = {"file": path.name, "sha256": hash_file(partial), **header.record}
    write_text(provenance_of(path), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
