"""Image features that others have computed: clip-retrieval's ``img_emb/*.npy`` and DataComp's ``*.npz``.

They are CLIP's features of its own views, 224 px (336 px of some) of the middle of each image: no image is decoded.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import Kind
from ..images.source import ImageSource, reason
from .members import ShardError
from .stores import opened

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
        name: Its path or address, ``.npy`` or ``.npz``.
        metadata: Of the Parquet file that says which images they are, row by row; None if there is none.
        keep: Its columns to keep beside the scores.
    """

    name: str
    metadata: str | None = None
    keep: Sequence[str] = ()
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
        metadata = self._metadata()
        try:
            with opened(self.name) as file, _array(self.name, file, backbone) as stream:
                shape, kind = _header(self.name, stream)
                if len(shape) != 2 or shape[1] != width:
                    raise ShardError(
                        f"{self.name!r} holds features of shape {shape}, but {backbone} has {width} per image: name "
                        "the backbone that made them with --backbone."
                    )
                for first in range(0, shape[0], _ROWS):
                    count = min(_ROWS, shape[0] - first)
                    data = stream.read(count * width * kind.itemsize)
                    if len(data) != count * width * kind.itemsize:
                        raise ShardError(
                            f"{self.name!r} is truncated: it ends before its row {first + count} of {shape[0]}."
                        )
                    kept = [next(metadata, None) for _ in range(count)] if self.keep else [{}] * count
                    if None in kept:
                        raise ShardError(
                            f"{self.metadata!r} has fewer rows than {self.name!r} has features, {shape[0]}."
                        )
                    yield first, np.frombuffer(data, kind).reshape(count, width).astype(np.float32), kept  # type: ignore[misc]
                if self.keep and next(metadata, None) is not None:
                    raise ShardError(f"{self.metadata!r} has more rows than {self.name!r} has features, {shape[0]}.")
        except (ValueError, zipfile.BadZipFile, EOFError) as error:
            if isinstance(error, ShardError):
                raise
            why = f"is no file of features, or it is damaged: {reason(error)}"
            raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error

    def _metadata(self) -> Iterator[dict[str, Any]]:
        """What is kept, row by row; nothing is opened before the first row is asked for."""
        from pyarrow import ArrowException, parquet

        if self.metadata is None:
            raise ShardError(f"{self.name!r} has no metadata beside it, of which {', '.join(self.keep)} could be kept.")
        try:
            with opened(self.metadata) as file:
                table = parquet.ParquetFile(file)
                names = table.schema_arrow.names
                if missing := [name for name in self.keep if name not in names]:
                    raise ShardError(
                        f"{self.metadata!r} has no column {missing[0]!r} to keep: its columns are {', '.join(names)}."
                    )
                for batch in table.iter_batches(_ROWS, columns=list(self.keep)):
                    yield from batch.to_pylist()
        except (ArrowException, OSError) as error:
            raise ShardError(f"{self.metadata!r} is no Parquet file, or it is damaged: {reason(error)}.") from error


def pair(files: Sequence[str], keep: Sequence[str]) -> list[EmbeddingsShard]:
    """Shards out of the files of a folder: features with the Parquet file of the same number, or of the same name."""
    features = [name for name in files if name.endswith(SUFFIXES) and "text_emb" not in name.split("/")]
    tables = [name for name in files if name.endswith(".parquet")]
    by_stem: Mapping[str, str] = {name.rsplit(".", 1)[0]: name for name in tables}
    by_number = {found[1].lstrip("0"): name for name in tables if (found := re.search(r"(\d+)\.parquet$", name))}
    shards = []
    for name in features:
        number = re.search(r"(\d+)\.np[yz]$", name)
        table = by_stem.get(name.rsplit(".", 1)[0]) or (by_number.get(number[1].lstrip("0")) if number else None)
        shards.append(EmbeddingsShard(name, table, keep))
    return shards


@contextmanager
def _array(name: str, file: IO[bytes], backbone: str) -> Iterator[IO[bytes]]:
    """The stream of one array: the file itself, or the array of a ``.npz`` that belongs to the backbone."""
    if not name.endswith(".npz"):
        yield file
        return
    with zipfile.ZipFile(file) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist()]
        images = [entry for entry in names if entry.endswith("_img")] or names
        chosen = _DATACOMP.get(backbone, images[0] if len(images) == 1 else None)
        if chosen not in names:
            raise ShardError(f"{name!r} has no features of {backbone}: it holds {', '.join(names)}.")
        with archive.open(f"{chosen}.npy") as stream:
            yield stream


def _header(name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(stream)
    if fortran or kind.kind != "f":
        raise ShardError(f"{name!r} holds {kind} {'by columns' if fortran else ''}, but rows of floats were expected.")
    return shape, kind
