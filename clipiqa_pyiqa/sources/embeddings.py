"""Stored image features: clip-retrieval's ``img_emb/*.npy``, DataComp's ``*.npz``, Parquet's columns of lists.

They are CLIP's features of its own views, 224 px (336 px of some) of the middle of each image: no image is decoded.
"""

from __future__ import annotations

import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import Kind
from ..images.source import ImageSource, reason
from .members import ShardError
from .parquet import SUFFIXES as TABLES
from .parquet import check_columns, opened_table
from .stores import local_path, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npy", ".npz")
_ROWS = 4096  # read at a time
_DATACOMP = {"ViT-B/32": "b32_img", "ViT-L/14": "l14_img"}
"""Names of the arrays in DataComp's files."""


@dataclass
class EmbeddingsShard:
    """A file of features, one row per image.

    Attributes:
        name: Its path or address, ``.npy``, ``.npz`` or ``.parquet``.
        metadata: Of the Parquet file that says which images they are, row by row; None if there is none.
        keep: Its columns to keep beside the scores.
        column: Of features in a Parquet file; None finds the one column of lists.
    """

    name: str
    metadata: str | None = None
    keep: Sequence[str] = ()
    column: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    kind: ClassVar[str] = "embeddings"

    def entries(self) -> Iterator[ImageSource]:
        raise ShardError(
            f"{self.name!r} holds features and no images: pass --embeddings (embeddings=True) to score them."
        )

    def blocks(self, width: int, backbone: str) -> Iterator[tuple[int, NDArray[np.float32], list[dict[str, Any]]]]:
        """The number of the first row, features ``(N, width)`` as they are stored, and what is kept of each row.

        Args:
            width: Of the backbone's features.
            backbone: Its name, for messages and to find its array in a ``.npz``.

        Raises:
            ShardError: They cannot be read, are of another width, or are not as many as the metadata has rows.
        """
        if self.name.lower().endswith(TABLES):
            yield from self._table_blocks(width, backbone)
            return
        metadata = self._metadata()
        try:
            with opened(self.name) as file:
                features = _features(self.name, file, backbone)
                if features.ndim != 2 or features.shape[1] != width or features.dtype.kind != "f":
                    raise self._misfit(f"{features.dtype} features of shape {features.shape}", width, backbone)
                for first in range(0, len(features), _ROWS):
                    rows = features[first : first + _ROWS].astype(np.float32)
                    kept = list(itertools.islice(metadata, len(rows))) if self.keep else [{}] * len(rows)
                    if len(kept) < len(rows):
                        break
                    yield first, rows, kept
                if self.keep and (len(kept) < len(rows) or next(metadata, None) is not None):
                    raise ShardError(f"{self.metadata!r} must have as many rows as {self.name!r}, {len(features)}.")
        except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
            if isinstance(error, ShardError):
                raise
            why = f"is not a file of features, or it is damaged: {reason(error)}"
            raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error

    def _table_blocks(
        self, width: int, backbone: str
    ) -> Iterator[tuple[int, NDArray[np.float32], list[dict[str, Any]]]]:
        """:meth:`blocks` of a Parquet file; a row without features has NaN."""
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
                there = column.is_valid().to_numpy(zero_copy_only=False)
                values = column.flatten().to_numpy(zero_copy_only=False)
                lengths = set(column.value_lengths().drop_null().to_pylist())
                if values.dtype.kind != "f" or lengths - {width}:
                    raise self._misfit(f"lists of {', '.join(map(str, lengths))} {values.dtype}", width, backbone)
                rows = np.full((len(batch), width), np.nan, np.float32)
                rows[there] = values.reshape(-1, width)
                yield first, rows, batch.select(list(self.keep)).to_pylist()
                first += len(batch)

    def _misfit(self, held: str, width: int, backbone: str) -> ShardError:
        return ShardError(
            f"{self.name!r} holds {held}, but {backbone} has {width} floats per image: backbone must be the one that "
            "made them."
        )

    def _metadata(self) -> Iterator[dict[str, Any]]:
        """Yield what is kept, row by row."""
        if self.metadata is None:
            raise ShardError(f"{self.name!r} has no metadata beside it, of which {', '.join(self.keep)} could be kept.")
        with opened_table(self.metadata) as table:
            check_columns(self.metadata, table.schema_arrow, self.keep)
            for batch in table.iter_batches(_ROWS, columns=list(self.keep)):
                yield from batch.to_pylist()


def pair(files: Sequence[str], keep: Sequence[str], column: str | None = None) -> list[EmbeddingsShard]:
    """Return shards of files: features with the Parquet file of the same number or name; or Parquet files alone."""
    features = [name for name in files if name.endswith(SUFFIXES) and "text_emb" not in name.split("/")]
    tables = [name for name in files if name.endswith(TABLES)]
    if not features:
        return [EmbeddingsShard(name, None, keep, column) for name in tables]
    by_stem: Mapping[str, str] = {name.rsplit(".", 1)[0]: name for name in tables}
    by_number = {found[1].lstrip("0"): name for name in tables if (found := re.search(r"(\d+)\.parquet$", name))}
    shards = []
    for name in features:
        number = re.search(r"(\d+)\.np[yz]$", name)
        table = by_stem.get(name.rsplit(".", 1)[0]) or (by_number.get(number[1].lstrip("0")) if number else None)
        shards.append(EmbeddingsShard(name, table, keep))
    return shards


def _features(name: str, file: IO[bytes], backbone: str) -> NDArray[Any]:
    """Return the array in a ``.npy`` file, or the one of a ``.npz`` file that belongs to the backbone."""
    path = local_path(name)
    if not name.endswith(".npz"):
        return np.load(file if path is None else path, mmap_mode=None if path is None else "r", allow_pickle=False)
    with np.load(file, allow_pickle=False) as archive:
        images = [entry for entry in archive.files if entry.endswith("_img")] or archive.files
        chosen = _DATACOMP.get(backbone, images[0] if len(images) == 1 else "")
        if chosen not in archive.files:
            raise ShardError(f"{name!r} has no features of {backbone}: it holds {', '.join(archive.files)}.")
        return archive[chosen]
