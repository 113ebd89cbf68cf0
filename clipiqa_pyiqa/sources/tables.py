"""Parquet files of images (bytes, or Hugging Face's structs of bytes and path), and stored image features."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from ..errors import CLIPIQAError, Kind, reason
from ..images.image import BytesImage, Image, NoImage
from .stores import ARRAYS, ShardError, ShardFile, is_remote, opened

Blocks = Iterator[tuple[NDArray[np.float32], list[dict[str, Any]]]]
_ROWS = 64  # rows read at a time
IMAGE_COLUMNS = ["image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content", "data"]


class ParquetShard(ShardFile):
    kind = "parquet"

    def entries(self, rows: Container[int] = range(1 << 62)) -> Iterator[Image]:
        """Yield the images in order; ``rows`` are numbers of rows to read, by default all. Raises ``ShardError``."""
        with opened_table(self.name, buffer_size=1 << 20) as table:
            first, column = 0, image_column(self, table.schema_arrow)
            columns = list(dict.fromkeys([column, *self.keep]))
            for group in range(table.num_row_groups):
                numbers = range(first, first := first + table.metadata.row_group(group).num_rows)
                if not any(number in rows for number in numbers):
                    continue
                batches = table.iter_batches(_ROWS, [group], columns, use_threads=False)
                cells = (row for batch in batches for row in batch.to_pylist())
                for number, row in zip(numbers, cells, strict=True):
                    if number not in rows:
                        continue
                    name, cell = f"{self.name}::{number}", row[column]
                    data = cell.get("bytes") if isinstance(cell, dict) else cell
                    lost = NoImage(name, "is a row without an image")
                    image = lost if data is None else BytesImage(name, bytes(data))
                    image.kept = {each: row[each] for each in self.keep}
                    yield image


@contextmanager
def _whole(name: str, kind: str) -> Iterator[IO[bytes]]:
    """Open a file, and raise ``ShardError`` if it is damaged; ``kind`` is what it should be."""
    try:
        with opened(name) as file:
            yield file
    except CLIPIQAError:  # also of a file that is written at the same time
        raise
    except (
        pyarrow.ArrowException,
        EOFError,
        OSError,
        ValueError,
    ) as error:  # OSError: a page; ValueError: too few rows
        raise ShardError(f"is not {kind}, or it is damaged: {reason(error)}", Kind.DAMAGED_ARCHIVE, name) from error


@contextmanager
def opened_table(name: str, **options: Any) -> Iterator[Any]:
    """Open a Parquet file as ``pyarrow.parquet.ParquetFile`` with its options. Raises ``ShardError``."""
    with _whole(name, "a Parquet file") as file:
        yield parquet.ParquetFile(file, pre_buffer=False, **options)  # as in results/formats.py


def image_column(shard: ShardFile, schema: pyarrow.Schema, of_lists: bool = False) -> str:
    """Return the column of images, or of lists of numbers. Raises ``ShardError``, also if one to keep is missing."""
    column, listed = shard.image_column, ", ".join(schema.names[:30])
    if missing := [each for each in shard.keep if each not in schema.names]:
        raise ShardError(f"{shard.name!r} has no column {missing[0]!r} to keep: its columns are {listed}.")
    content = "lists" if of_lists else "images (bytes, or Hugging Face's bytes and path)"
    found = [field.name for field in schema if ("list<" in str(field.type) if of_lists else _is_image(field.type))]
    usual = [each for each in ([column] if column else [] if of_lists else IMAGE_COLUMNS) if each in found]
    if not usual and (column or len(found) != 1):
        wanted = f"the column {column!r}" if column else "one column"
        raise ShardError(
            f"{shard.name!r} must have {wanted} of {content}, or image_column must name one; its columns are {listed}."
        )
    return (usual or found)[0]


def _is_image(kind: pyarrow.DataType) -> bool:
    is_struct = str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0
    return is_struct or str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def kept_types(items: Sequence[Any], names: Sequence[str]) -> dict[str, pyarrow.DataType]:
    """Return name to keep -> the type of its column: that of the first Parquet file, where all sources are such files.

    Whole numbers, numbers and truths keep their type; all others, such as dates and lists, become texts.
    """
    types = dict.fromkeys(names, pyarrow.string())
    tables = [item for item in items if isinstance(item, ParquetShard)]
    if not names or len(tables) < len(items):
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


_FEATURES = 4096  # rows of features read at a time


class EmbeddingsShard(ShardFile):
    """A file of features; ``image_column`` is the column of a Parquet file that holds them."""

    kind = "embeddings"

    def entries(self) -> Iterator[Image]:
        raise ShardError(f"{self.name!r} holds features, not images: set `embeddings` to score features.")

    def blocks(self, width: int, backbone: str) -> Blocks:
        """Yield features ``(N, width)`` and the kept columns of each row. Raises ``ShardError``."""

        def misfit(content: str) -> ShardError:
            return ShardError(
                f"{self.name!r} holds {content}, but {backbone} has {width} floats per image: pass the backbone that "
                "made the features."
            )

        if not self.name.lower().endswith(ARRAYS):
            with opened_table(self.name) as table:
                found = image_column(self, table.schema_arrow, of_lists=True)
                for batch in table.iter_batches(_FEATURES, columns=[found, *self.keep]):
                    column = batch.column(found)
                    values = column.flatten().to_numpy(zero_copy_only=False)
                    lengths = set(column.value_lengths().drop_null().to_pylist())
                    if values.dtype.kind != "f" or lengths - {width}:
                        raise misfit(f"lists of {', '.join(map(str, lengths))} {values.dtype}")
                    rows = np.full((len(batch), width), np.nan, np.float32)  # a row without features stays NaN
                    rows[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, width)
                    yield rows, batch.select(list(self.keep)).to_pylist()
            return
        if self.keep:
            raise ShardError(
                f"{self.name!r} has no columns, so {', '.join(self.keep)} cannot be kept: leave out `keep`."
            )
        with _whole(self.name, "a file of features") as file:
            read = np.lib.format
            features = read.read_array(file) if is_remote(self.name) else read.open_memmap(self.name, mode="r")
            if features.ndim != 2 or features.shape[1] != width or features.dtype.kind != "f":
                raise misfit(f"{features.dtype} features of shape {features.shape}")
            for first in range(0, len(features), _FEATURES):
                rows = features[first : first + _FEATURES].astype(np.float32)
                yield rows, [{}] * len(rows)
