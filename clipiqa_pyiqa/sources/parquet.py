"""Parquet files of images: bytes, structs of bytes and path, or paths."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ImageError, Kind
from ..images.source import ImageSource, NoImage, reason
from .members import Entry, ShardError
from .stores import is_remote, opened, source_at

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".pq")
_ROWS = 64  # rows read at a time
_BYTES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data")
_PATHS = ("path", "image_path", "img_path", "file_path", "filepath", "file_name", "filename", "file", "image", "img")


@dataclass
class ParquetShard:
    name: str
    keep: Sequence[str] = ()
    image_column: str | None = None
    kind: ClassVar[str] = "parquet"

    def entries(self, rows: Container[int] | None = None) -> Iterator[ImageSource]:
        """Yield the images in order; ``rows`` selects rows. Raises ``ShardError``."""
        with opened_table(self.name, buffer_size=1 << 20) as table:
            schema, first = table.schema_arrow, 0
            column = image_column(self.name, schema, self.image_column)
            check_columns(self.name, schema, self.keep)
            keep = [*self.keep, *([column] if _is_text(schema.field(column).type) else [])]
            columns = list(dict.fromkeys([column, *keep]))
            for group in range(table.num_row_groups):
                numbers = range(first, first := first + table.metadata.row_group(group).num_rows)
                if rows is not None and not any(number in rows for number in numbers):
                    continue
                batches = table.iter_batches(_ROWS, [group], columns, use_threads=False)
                cells = (row for batch in batches for row in batch.to_pylist())
                for number, row in zip(numbers, cells, strict=True):
                    if rows is None or number in rows:
                        yield self._entry(f"{self.name}::{number}", row[column], {name: row[name] for name in keep})

    def _entry(self, name: str, cell: Any, kept: dict[str, Any]) -> ImageSource:
        if isinstance(cell, dict):  # Hugging Face stores an image as bytes and path
            cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        if not cell and not isinstance(cell, bytes):
            return NoImage(name, "is a row without an image", kept=kept)
        if isinstance(cell, str):
            path = cell if is_remote(cell) else os.path.join(os.path.dirname(self.name), cell)
            return _LinkedImage(name, path, kept)
        return Entry(name, cell, kept)


@dataclass
class _LinkedImage:
    name: str
    path: str
    kept: dict[str, Any]

    def read(self) -> bytes:
        try:
            return source_at(self.path).read()
        except ImageError as error:
            raise ImageError(f"names {error.name!r}, which {error.reason}", error.kind, self.name) from error


@contextmanager
def opened_table(name: str, **options: Any) -> Iterator[Any]:
    """Open a Parquet file as ``pyarrow.parquet.ParquetFile`` with its options. Raises ``ShardError``."""
    from pyarrow import ArrowException, parquet

    try:
        with opened(name) as file:
            yield parquet.ParquetFile(file, **options)
    except (ArrowException, OSError) as error:  # pyarrow raises an OSError for a damaged page or header
        why = f"is not a Parquet file, or it is damaged: {reason(error)}"
        raise ShardError(why, Kind.DAMAGED_ARCHIVE, name) from error


def check_columns(name: str, schema: pyarrow.Schema, keep: Sequence[str]) -> None:
    if missing := [column for column in keep if column not in schema.names]:
        raise ShardError(f"{name!r} has no column {missing[0]!r} to keep: its columns are {_listed(schema)}.")


def image_column(name: str, schema: pyarrow.Schema, column: str | None) -> str:
    """Return the given column, or find the column of images. Raises ``ShardError``."""
    kinds = {field.name: field.type for field in schema}
    if column is not None:
        if column not in kinds or not (_is_text(kinds[column]) or _is_bytes(kinds[column])):
            raise ShardError(
                f"{name!r} has no column {column!r} of images or paths: its columns are {_listed(schema)}."
            )
        return column
    found = [each for each, kind in kinds.items() if _is_bytes(kind)]
    if len(found) > 1 and not set(found).intersection(_BYTES):
        raise ShardError(f"{name!r} has several columns that may hold images, {', '.join(found)}: give image_column.")
    found = [each for each in _BYTES if each in found] or found
    found = found or [each for each in _PATHS if each in kinds and _is_text(kinds[each])]
    if not found:
        raise ShardError(
            f"{name!r} has no column of images (bytes, Hugging Face's bytes and path, or paths): its columns are "
            f"{_listed(schema)}; give image_column."
        )
    return found[0]


def _is_text(kind: pyarrow.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_bytes(kind: pyarrow.DataType) -> bool:
    is_struct = str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0
    return is_struct or str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def _listed(schema: pyarrow.Schema) -> str:
    return ", ".join(schema.names[:30]) + (" …" if len(schema.names) > 30 else "")
