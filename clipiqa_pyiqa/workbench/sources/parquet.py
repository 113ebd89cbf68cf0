"""Parquet files of images: bytes, or Hugging Face's structs of bytes and path."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow
from pyarrow import parquet

from ...errors import CLIPIQAError, Kind
from ...text import reason_of
from ..images.image import BytesImage, Image, NoImage
from .shard_error import ShardError
from .shards import Shard, ShardFile
from .stores import opened

_ROWS = 64  # rows read at a time
IMAGE_COLUMNS = ["image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data"]


class ParquetShard(ShardFile):
    """A Parquet file of images."""

    def entries(self, rows: Container[int] | None = None) -> Iterator[Image]:
        """Yield the images in order; ``rows`` are numbers of rows to read; None: all. Raises ``ShardError``."""
        with opened_table(self.name, buffer_size=1 << 20) as table:
            first = 0
            check_kept_columns(self, table.schema_arrow)
            column = image_column(self, table.schema_arrow)
            columns = list(dict.fromkeys([column, *self.keep]))
            for group in range(table.num_row_groups):
                numbers = range(first, first + table.metadata.row_group(group).num_rows)
                first = numbers.stop
                wanted = {number for number in numbers if rows is None or number in rows}
                if not wanted:
                    continue
                batches = table.iter_batches(_ROWS, [group], columns, use_threads=False)
                cells = (row for batch in batches for row in batch.to_pylist())
                for number, row in zip(numbers, cells, strict=True):
                    if number not in wanted:
                        continue
                    image = _image_in(row[column], f"{self.name}::{number}")
                    image.carried = {name: row[name] for name in self.keep}
                    yield image


def _image_in(cell: Any, name: str) -> BytesImage | NoImage:
    """Return the image in a cell: bytes, or Hugging Face's struct of bytes and path."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return NoImage(name, "is a row without an image") if data is None else BytesImage(name, bytes(data))


@contextmanager
def opened_table(name: str, **options: Any) -> Iterator[Any]:
    """Open a file as ``pyarrow.parquet.ParquetFile`` with its options. Raises ``ShardError``, also if it is damaged."""
    try:
        with opened(name) as file:
            yield parquet.ParquetFile(file, pre_buffer=False, **options)  # as in results/parquet_file.py
    except CLIPIQAError:  # also of a file that is written at the same time
        raise
    # OSError: of a page; ValueError: of a file with too few rows
    except (pyarrow.ArrowException, EOFError, OSError, ValueError) as error:
        why = f"is not a Parquet file, or it is damaged: {reason_of(error)}"
        raise ShardError(why, Kind.DAMAGED_ARCHIVE, name) from error


def check_kept_columns(shard: ShardFile, schema: pyarrow.Schema) -> None:
    """Raise ``ShardError`` if a column to keep is missing."""
    missing = [name for name in shard.keep if name not in schema.names]
    if missing:
        why = f"has no column {missing[0]!r} to keep: choose among its columns ({_listed(schema)})"
        raise ShardError(why, name=shard.name)


def _listed(schema: pyarrow.Schema) -> str:
    return ", ".join(schema.names[:30])


def image_column(shard: ShardFile, schema: pyarrow.Schema) -> str:
    """Return the column of images. Raises ``ShardError``."""
    column = shard.image_column
    candidates = [field.name for field in schema if _is_image(field.type)]
    usual_names = [column] if column else IMAGE_COLUMNS
    usual = [name for name in usual_names if name in candidates]
    if usual:
        return usual[0]
    if column or len(candidates) != 1:
        wanted = f"the column {column!r}" if column else "one column"
        raise ShardError(
            f"must have {wanted} of images (bytes, or Hugging Face's bytes and path), or "
            f"image_column must name one; its columns are {_listed(schema)}",
            name=shard.name,
            options=("image_column",),
        )
    return candidates[0]


def _is_image(kind: pyarrow.DataType) -> bool:
    is_struct = str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0
    return is_struct or str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def carried_types(sources: Sequence[Image | Shard], names: Sequence[str]) -> dict[str, pyarrow.DataType]:
    """Return name to keep -> the type of its column: that of the first Parquet file, where all sources are such files.

    Whole numbers, numbers and truths keep their type; all others, such as dates and lists, become texts.
    """
    types = dict.fromkeys(names, pyarrow.string())
    tables = [source for source in sources if isinstance(source, ParquetShard)]
    if not names or len(tables) < len(sources):
        return types
    for shard in tables:
        try:
            with opened_table(shard.name) as table:
                schema = table.schema_arrow
        except ShardError:  # its turn will say what is wrong
            continue
        return types | {name: _simple(schema.field(name).type) for name in names if name in schema.names}
    return types


def _simple(kind: pyarrow.DataType) -> pyarrow.DataType:
    if pyarrow.types.is_integer(kind):
        return pyarrow.int64()
    if pyarrow.types.is_floating(kind):
        return pyarrow.float64()
    return pyarrow.bool_() if pyarrow.types.is_boolean(kind) else pyarrow.string()
