"""Parquet files of images: their bytes, Hugging Face's structs of bytes and path, or paths."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
    """

    name: str
    keep: Sequence[str] = ()
    image_column: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    kind: ClassVar[str] = "parquet"

    def entries(self) -> Iterator[ImageSource]:
        from pyarrow import ArrowException

        try:
            with opened(self.name) as file:
                yield from self._entries(file)
        except (ArrowException, OSError) as error:  # of a damaged page or header it says OSError
            why = f"is no Parquet file, or it is damaged: {reason(error)}"
            raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error

    def _entries(self, file: Any) -> Iterator[ImageSource]:
        from pyarrow import parquet

        table = parquet.ParquetFile(file, buffer_size=1 << 20)
        schema = table.schema_arrow
        column = image_column(self.name, schema, self.image_column)
        if missing := [name for name in self.keep if name not in schema.names]:
            raise ShardError(f"{self.name!r} has no column {missing[0]!r} to keep: its columns are {_listed(schema)}.")
        by_path = is_text(schema.field(column).type)
        keep = list(dict.fromkeys([*self.keep, *([column] if by_path else [])]))
        number = 0
        for batch in table.iter_batches(_ROWS, columns=list(dict.fromkeys([column, *keep])), use_threads=False):
            columns = [batch[name].to_pylist() for name in keep]
            kept = [dict(zip(keep, values, strict=True)) for values in zip(*columns, strict=True)]
            for cell, beside in zip(batch[column].to_pylist(), kept or [{}] * len(batch), strict=True):
                yield self._entry(f"{self.name}::{number}", cell, beside)
                number += 1

    def _entry(self, name: str, cell: Any, kept: dict[str, Any]) -> ImageSource:
        if isinstance(cell, dict):  # Hugging Face's: the bytes, or where they are
            data, path = cell.get("bytes"), cell.get("path")
            cell = path if data is None else data
        if isinstance(cell, str) and cell:
            return _Linked(name, beside(self.name, cell), kept)
        if cell is None or isinstance(cell, str):
            return NoImage(name, "is a row without an image", kept=kept)
        return Entry(name, cell, kept)


class _Linked:
    """An image that a row names by its path; whoever decodes it reads it."""

    def __init__(self, name: str, path: str, kept: dict[str, Any]) -> None:
        self.name, self.path, self.kept = name, path, kept

    def read(self) -> bytes:
        try:
            return source_at(self.path).read()
        except ImageError as error:
            raise ImageError(f"names {error.name!r}, which {error.reason}", error.kind, self.name) from error


def image_column(name: str, schema: pyarrow.Schema, asked: str | None) -> str:
    """The column of a Parquet file that holds its images.

    Raises:
        ShardError: There is none, or several could be; the message says which columns there are.
    """
    kinds = {field.name: field.type for field in schema}
    if asked is not None:
        if asked not in kinds:
            raise ShardError(f"{name!r} has no column {asked!r}: its columns are {_listed(schema)}.")
        if not (is_text(kinds[asked]) or _is_bytes(kinds[asked])):
            raise ShardError(
                f"the column {asked!r} of {name!r} holds {kinds[asked]}, but images or paths were expected."
            )
        return asked
    found = [column for column, kind in kinds.items() if _is_bytes(kind)]
    if len(found) > 1:
        structs = [column for column in found if _is_struct(kinds[column])]
        found = structs if len(structs) == 1 else [column for column in _BYTES if column in found][:1] or found
    if len(found) > 1:
        raise ShardError(
            f"{name!r} has several columns that may hold images, {', '.join(found)}: name one with --image-column."
        )
    found = found or [column for column in _PATHS if column in kinds and is_text(kinds[column])][:1]
    if not found:
        raise ShardError(
            f"{name!r} has no column of images (bytes, Hugging Face's bytes and path, or paths): its columns are "
            f"{_listed(schema)}; name one with --image-column."
        )
    return found[0]


def beside(shard: str, path: str) -> str:
    """A path in a table, seen from the table's folder unless it is absolute or an address."""
    if scheme(path) is not None or os.path.isabs(path):
        return path
    return (os.path if local_path(shard) is not None else posixpath).join(os.path.dirname(shard), path)


def is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or kind == "string_view"


def _is_bytes(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or _is_struct(kind)


def _is_struct(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _listed(schema: pyarrow.Schema) -> str:
    return ", ".join(schema.names[:30]) + (" …" if len(schema.names) > 30 else "") or "none at all"
