"""Parquet files of images: their bytes, Hugging Face's structs of bytes and path, or paths."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ImageError, Kind
from ..images.source import ImageSource, NoImage, reason
from .members import Entry, ShardError
from .stores import local_path, opened, scheme, source_at

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".pq")
_ROWS = 64  # read at a time
_BYTES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data")
_PATHS = ("path", "image_path", "img_path", "file_path", "filepath", "file_name", "filename", "file", "image", "img")


@dataclass
class ParquetShard:
    """A Parquet file with an image in each row.

    Attributes:
        name: Its path or address.
        keep: Columns to keep beside the scores.
        image_column: The column of images; None finds it.
        fraction: How much of it is read, from 0 to 1.
    """

    name: str
    keep: Sequence[str] = ()
    image_column: str | None = None
    fraction: float = 0.0
    kind: ClassVar[str] = "parquet"

    def entries(self, rows: Container[int] | None = None) -> Iterator[ImageSource]:
        """The images in their order, or those in the given rows only. Raises ``ShardError``."""
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
                cells = (
                    row
                    for batch in table.iter_batches(_ROWS, [group], columns, use_threads=False)
                    for row in batch.to_pylist()
                )
                for number, row in zip(numbers, cells, strict=True):
                    if rows is None or number in rows:
                        self.fraction = number / table.metadata.num_rows
                        yield self._entry(f"{self.name}::{number}", row[column], {name: row[name] for name in keep})

    def check_keep(self) -> None:
        """Raise ``ShardError`` if the file lacks a column that is to be kept, or cannot be read."""
        with opened_table(self.name) as table:
            check_columns(self.name, table.schema_arrow, self.keep)

    def _entry(self, name: str, cell: Any, kept: dict[str, Any]) -> ImageSource:
        if isinstance(cell, dict):  # Hugging Face's: the bytes, or where they are
            cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        if isinstance(cell, str) and cell:
            return _Linked(name, _seen_from(self.name, cell), kept)
        if cell is None or isinstance(cell, str):
            return NoImage(name, "is a row without an image", kept=kept)
        return Entry(name, cell, kept)


@dataclass
class _Linked:
    """An image that a row names by its path."""

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
    """Open a Parquet file, on disk or in a store; options are ``pyarrow.parquet.ParquetFile``'s.

    Raises:
        ShardError: It cannot be read, or damage is met while it is read.
    """
    from pyarrow import ArrowException, parquet

    try:
        with opened(name) as file:
            yield parquet.ParquetFile(file, **options)
    except (ArrowException, OSError) as error:  # of a damaged page or header it says OSError
        why = f"is not a Parquet file, or it is damaged: {reason(error)}"
        raise ShardError(why, Kind.DAMAGED_ARCHIVE, name) from error


def check_columns(name: str, schema: pyarrow.Schema, keep: Sequence[str]) -> None:
    """Raise ``ShardError`` unless a Parquet file has the columns that are to be kept."""
    if missing := [column for column in keep if column not in schema.names]:
        raise ShardError(f"{name!r} has no column {missing[0]!r} to keep: its columns are {_listed(schema)}.")


def image_column(name: str, schema: pyarrow.Schema, asked: str | None) -> str:
    """Return the column of a Parquet file that holds its images.

    Raises:
        ShardError: There is none, or several could be; the message says which columns there are.
    """
    kinds = {field.name: field.type for field in schema}
    if asked is not None:
        if asked not in kinds:
            raise ShardError(f"{name!r} has no column {asked!r}: its columns are {_listed(schema)}.")
        if not (_is_text(kinds[asked]) or _is_bytes(kinds[asked])):
            raise ShardError(f"the column {asked!r} of {name!r} must hold images or paths; it holds {kinds[asked]}.")
        return asked
    found = [column for column, kind in kinds.items() if _is_bytes(kind)]
    if len(found) > 1:
        structs = [column for column in found if _is_struct(kinds[column])]
        found = structs if len(structs) == 1 else [column for column in _BYTES if column in found][:1] or found
    if len(found) > 1:
        raise ShardError(f"{name!r} has several columns that may hold images, {', '.join(found)}: give image_column.")
    found = found or [column for column in _PATHS if column in kinds and _is_text(kinds[column])][:1]
    if not found:
        raise ShardError(
            f"{name!r} has no column of images (bytes, Hugging Face's bytes and path, or paths): its columns are "
            f"{_listed(schema)}; give image_column."
        )
    return found[0]


def _seen_from(shard: str, path: str) -> str:
    """Return a table's path, relative to the table's folder unless it is absolute or an address."""
    if scheme(path) is not None or os.path.isabs(path):
        return path
    return (os.path if local_path(shard) is not None else posixpath).join(os.path.dirname(shard), path)


def _is_text(kind: pyarrow.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_bytes(kind: pyarrow.DataType) -> bool:
    return str(kind).startswith(("binary", "large_binary", "fixed_size_binary")) or _is_struct(kind)


def _is_struct(kind: pyarrow.DataType) -> bool:
    return str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0


def _listed(schema: pyarrow.Schema) -> str:
    return ", ".join(schema.names[:30]) + (" …" if len(schema.names) > 30 else "") or "none at all"
