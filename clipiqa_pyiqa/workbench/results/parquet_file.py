"""Parquet files of results: their schema, and a header in their metadata that tells when it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from ...files import open_file
from ..files.journal import Cells
from .columns import Record
from .header import SCALE, Header
from .row import NUMBERS
from .scales import scale_text

PARQUET_KEY = b"clipiqa_pyiqa"
"""A key in a Parquet file's metadata; its value holds the header as JSON."""
PANDAS_KEY = b"PANDAS_ATTRS"
"""A key in a Parquet file's metadata, which pandas reads, and writes into copies."""
ROWS_OF_GROUP = 10_000  # rows of a row group, and in memory at a time


def schema_of(header: Header) -> pyarrow.Schema:
    """Return the columns of a Parquet file, but for joined values, whose types are not known."""
    types = {name: pyarrow.string() for name in header.names if name not in (*header.joined, SCALE)}
    types |= dict.fromkeys(header.score_names, pyarrow.float64()) | dict.fromkeys(NUMBERS, pyarrow.int32())
    attributes = {**header.provenance, SCALE: scale_text(header.columns)}
    return pyarrow.schema(types, {PANDAS_KEY: json.dumps(attributes)})


def metadata_of(header: Header, schema: pyarrow.Schema, **counts: Any) -> dict[bytes, bytes]:
    """Return the metadata of a Parquet file of this schema: the record, and numbers such as that of its rows."""
    record = {**header.record, **counts}
    return {PARQUET_KEY: json.dumps({**record, "check": _check(record, schema)}).encode()}


def parquet_record(file: parquet.ParquetFile) -> dict[str, Any] | None:
    """Return the record in an open Parquet file's metadata, or None. Raises ``ValueError`` if it has changed."""
    text = (file.metadata.metadata or {}).get(PARQUET_KEY)
    if text is None:
        return None
    record = dict(json.loads(text))
    if record.pop("check") != _check(record, file.schema_arrow):
        raise ValueError("its metadata has changed")
    return record


def scale_in_attributes(file: parquet.ParquetFile) -> str:
    """Return the scales in an open Parquet file that pandas copied from a file of ours; empty if it has none."""
    attributes = json.loads((file.metadata.metadata or {}).get(PANDAS_KEY, b"{}"))
    scale = attributes.get(SCALE) if isinstance(attributes, Mapping) else None
    return scale if isinstance(scale, str) else ""


def _check(record: Record, schema: pyarrow.Schema) -> str:
    return hashlib.sha256(f"{json.dumps(record, sort_keys=True)}{schema.remove_metadata()}".encode()).hexdigest()


def write_parquet(path: Path, header: Header, rows: Iterable[Cells]) -> None:
    """Write rows (column -> value, without the constant columns), their header, and numbers of images and failures."""
    schema = schema_of(header)
    constants = header.constants_beside_header
    images = 0
    failures = Counter[str]()
    rows = list(rows) if header.joined else rows  # the types of joined values are known once all have come
    joined = {name: _array([row.get(name) for row in rows]) for name in header.joined}
    for name, values in joined.items():
        schema = schema.insert(header.names.index(name), pyarrow.field(name, values.type))
    with parquet.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        for group in _groups(rows):
            columns = {name: [row.get(name) for row in group] for name in schema.names}
            columns |= {name: values.slice(images, ROWS_OF_GROUP) for name, values in joined.items()}
            columns |= {name: [text] * len(group) for name, text in constants.items()}
            writer.write_table(pyarrow.Table.from_pydict(columns, schema))
            images += len(group)
            failures.update(row["kind"] for row in group if row["kind"])
        writer.add_key_value_metadata(metadata_of(header, schema, images=images, failures=failures))


def _groups(rows: Iterable[Cells]) -> Iterator[list[Cells]]:
    """Yield rows in lists, of which each becomes a row group."""
    coming_rows = iter(rows)
    while group := list(itertools.islice(coming_rows, ROWS_OF_GROUP)):
        yield group


def _array(values: list[Any]) -> pyarrow.Array:
    """Return values as a column of one type; mixed types become JSON texts."""
    with contextlib.suppress(pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        if not any(isinstance(value, dict | list) for value in values):
            return pyarrow.array(values)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
    return pyarrow.array(texts, pyarrow.string())


@contextlib.contextmanager
def opened_parquet(path: Path) -> Iterator[parquet.ParquetFile]:
    """Open a Parquet file in this context. Raises ``ValueError`` if it declares more rows than it can hold."""
    # pre_buffer reads in a thread of Arrow, which aborts the process if it gives a buffer back after Python has ended
    with (
        open_file(path) as raw,
        parquet.ParquetFile(raw, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        count = file.metadata.num_rows
        size = os.path.getsize(path)
        if count > size:  # a small file with many equal rows would take all memory
            raise ValueError(f"it has {count:,} rows in {size:,} bytes, which cannot hold that many names")
        yield file
