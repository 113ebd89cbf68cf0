"""Stored image features: clip-retrieval's ``img_emb/*.npy``, DataComp's ``*.npz``, lists in Parquet files."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import Kind
from ..images.source import ImageSource, reason
from .members import ShardError
from .parquet import SUFFIXES as TABLES
from .parquet import check_columns, opened_table
from .stores import is_remote, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npy", ".npz")
_ROWS = 4096  # rows read at a time
_DATACOMP = {"ViT-B/32": "b32_img", "ViT-L/14": "l14_img"}  # backbone -> array in DataComp's files


@dataclass
class EmbeddingsShard:
    """A file of features; ``metadata`` is a Parquet file with one row per feature and the columns ``keep``."""

    name: str
    metadata: str | None = None
    keep: Sequence[str] = ()
    column: str | None = None
    kind: ClassVar[str] = "embeddings"

    def entries(self) -> Iterator[ImageSource]:
        raise ShardError(f"{self.name!r} holds features, not images: set embeddings to score features.")

    def blocks(self, width: int, backbone: str) -> Iterator[tuple[int, NDArray[np.float32], list[dict[str, Any]]]]:
        """Yield blocks: the first row's number, features ``(N, width)``, and kept columns. Raises ``ShardError``."""
        if self.name.lower().endswith(TABLES):
            yield from self._table_blocks(width, backbone)
            return
        metadata = self._metadata()
        try:
            with opened(self.name) as file:
                features = _features(self.name, file, backbone)
                if features.ndim != 2 or features.shape[1] != width or features.dtype.kind != "f":
                    raise self._misfit(f"{features.dtype} features of shape {features.shape}", width, backbone)
                if self.keep and len(metadata) != len(features):
                    raise ShardError(f"{self.metadata!r} must have as many rows as {self.name!r}, {len(features)}.")
                for first in range(0, len(features), _ROWS):
                    rows = features[first : first + _ROWS].astype(np.float32)
                    yield first, rows, metadata[first : first + _ROWS] or [{}] * len(rows)
        except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
            if isinstance(error, ShardError):
                raise
            why = f"is not a file of features, or it is damaged: {reason(error)}"
            raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error

    def _table_blocks(
        self, width: int, backbone: str
    ) -> Iterator[tuple[int, NDArray[np.float32], list[dict[str, Any]]]]:
        """Yield the :meth:`blocks` of a Parquet file; a row without features becomes NaN."""
        first = 0
        with opened_table(self.name) as table:
            schema = table.schema_arrow
            check_columns(self.name, schema, self.keep)
            lists = [each.name for each in schema if "list<" in str(each.type)]
            found = [self.column] if self.column else lists
            if len(found) != 1 or found[0] not in lists:
                raise ShardError(
                    f"{self.name!r} must have one column of lists, or image_column must name one; "
                    f"got {', '.join(lists) or 'none'}."
                )
            for batch in table.iter_batches(_ROWS, columns=[*found, *self.keep]):
                column = batch.column(found[0])
                is_valid = column.is_valid().to_numpy(zero_copy_only=False)
                values = column.flatten().to_numpy(zero_copy_only=False)
                lengths = set(column.value_lengths().drop_null().to_pylist())
                if values.dtype.kind != "f" or lengths - {width}:
                    raise self._misfit(f"lists of {', '.join(map(str, lengths))} {values.dtype}", width, backbone)
                rows = np.full((len(batch), width), np.nan, np.float32)
                rows[is_valid] = values.reshape(-1, width)
                yield first, rows, batch.select(list(self.keep)).to_pylist()
                first += len(batch)

    def _misfit(self, content: str, width: int, backbone: str) -> ShardError:
        return ShardError(
            f"{self.name!r} holds {content}, but {backbone} has {width} floats per image: pass the backbone that "
            "made the features."
        )

    def _metadata(self) -> list[dict[str, Any]]:
        if not self.keep:
            return []
        if self.metadata is None:
            raise ShardError(f"{self.name!r} has no metadata file beside it, so {', '.join(self.keep)} cannot be kept.")
        with opened_table(self.metadata) as table:
            check_columns(self.metadata, table.schema_arrow, self.keep)
            return table.read(columns=list(self.keep)).to_pylist()


def pair(files: Sequence[str], keep: Sequence[str], column: str | None = None) -> list[EmbeddingsShard]:
    """Return ``.npy`` and ``.npz`` files, each with the Parquet file of its name or number; or all Parquet files."""
    features = [name for name in files if name.endswith(SUFFIXES) and "text_emb" not in name.split("/")]
    if not features:
        return [EmbeddingsShard(name, None, keep, column) for name in files if name.endswith(TABLES)]
    tables = {_key(name): name for name in reversed(files) if name.endswith(TABLES)}
    return [EmbeddingsShard(name, tables.get(_key(name)), keep) for name in features]


def _key(name: str) -> str:
    """Return the number in a file name of clip-retrieval, or the name without suffix."""
    found = re.search(r"_0*(\d+)\.\w+$", name)
    return found[1] if found else name.rsplit(".", 1)[0]


def _features(name: str, file: IO[bytes], backbone: str) -> NDArray[Any]:
    if not name.endswith(".npz"):
        return np.load(file if is_remote(name) else name, mmap_mode=None if is_remote(name) else "r")
    with np.load(file) as archive:
        images = [entry for entry in archive.files if entry.endswith("_img")] or archive.files
        chosen = _DATACOMP.get(backbone, images[0] if len(images) == 1 else "")
        if chosen not in archive.files:
            raise ShardError(f"{name!r} has no features of {backbone}: it holds {', '.join(archive.files)}.")
        return archive[chosen]
