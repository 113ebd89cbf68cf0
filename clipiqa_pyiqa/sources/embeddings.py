"""Stored image features: arrays in ``.npy`` files, lists in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Kind
from ..images.source import ImageSource, reason
from .parquet import check_columns, opened_table
from .shards import ShardError
from .stores import ShardFile, is_remote, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Blocks = Iterator[tuple[NDArray[np.float32], list[dict[str, Any]]]]

ARRAYS = (".npy",)
_FEATURES = 4096  # rows of features read at a time


class EmbeddingsShard(ShardFile):
    """A file of features; ``image_column`` is the column of a Parquet file that holds them."""

    kind = "embeddings"

    def entries(self) -> Iterator[ImageSource]:
        raise ShardError(f"{self.name!r} holds features, not images: set `embeddings` to score features.")

    def blocks(self, width: int, backbone: str) -> Blocks:
        """Yield features ``(N, width)`` and the kept columns of each row. Raises ``ShardError``."""
        if not self.name.lower().endswith(ARRAYS):
            yield from self._table_blocks(width, backbone)
            return
        if self.keep:
            raise ShardError(
                f"{self.name!r} has no columns, so {', '.join(self.keep)} cannot be kept: leave out `keep`."
            )
        with opened(self.name) as file:
            try:
                read = np.lib.format
                features = read.read_array(file) if is_remote(self.name) else read.open_memmap(self.name, mode="r")
            except (ValueError, EOFError, OSError) as error:
                why = f"is not a file of features, or it is damaged: {reason(error)}"
                raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error
            if features.ndim != 2 or features.shape[1] != width or features.dtype.kind != "f":
                raise self._misfit(f"{features.dtype} features of shape {features.shape}", width, backbone)
            for first in range(0, len(features), _FEATURES):
                rows = features[first : first + _FEATURES].astype(np.float32)
                yield rows, [{}] * len(rows)

    def _table_blocks(self, width: int, backbone: str) -> Blocks:
        """Yield the :meth:`blocks` of a Parquet file; a row without features becomes NaN."""
        with opened_table(self.name) as table:
            schema = table.schema_arrow
            check_columns(self.name, schema, self.keep)
            lists = [each.name for each in schema if "list<" in str(each.type)]
            found = [self.image_column] if self.image_column else lists
            if len(found) != 1 or found[0] not in lists:
                raise ShardError(
                    f"{self.name!r} must have one column of lists, or image_column must name one; "
                    f"got {', '.join(lists) or 'none'}."
                )
            for batch in table.iter_batches(_FEATURES, columns=[*found, *self.keep]):
                column = batch.column(found[0])
                values = column.flatten().to_numpy(zero_copy_only=False)
                lengths = set(column.value_lengths().drop_null().to_pylist())
                if values.dtype.kind != "f" or lengths - {width}:
                    raise self._misfit(f"lists of {', '.join(map(str, lengths))} {values.dtype}", width, backbone)
                rows = np.full((len(batch), width), np.nan, np.float32)
                rows[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, width)
                yield rows, batch.select(list(self.keep)).to_pylist()

    def _misfit(self, content: str, width: int, backbone: str) -> ShardError:
        return ShardError(
            f"{self.name!r} holds {content}, but {backbone} has {width} floats per image: pass the backbone that "
            "made the features."
        )
