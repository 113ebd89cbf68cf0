"""Shards: named collections of images, such as an archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..images.image import Image
from ..images.stamp import UNKNOWN, Stamp
from .image_files import image_at

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TABLES = (".parquet", ".pq")
LARGEST_IMAGE = 1 << 30  # the largest size of an image in an archive


class Shard:
    """Base of named collections of images; an image's name is ``NAME::MEMBER``."""

    name: str

    def stamp(self) -> Stamp:
        """As :meth:`~clipiqa_pyiqa.workbench.images.image.Image.stamp`, of all images."""
        return UNKNOWN

    def entries(self) -> Iterator[Image]:
        """Yield the images in order. Raises ``ShardError``."""
        raise NotImplementedError


@dataclass
class ShardFile(Shard):
    """A shard that is one file, on disk or in a store.

    Attributes:
        keep: Names of the values beside images that their rows get.
        image_column: Column of images in a Parquet file; None finds it.
        sampling: Which frames of a video, as for :func:`~clipiqa_pyiqa.score_paths`.
    """

    name: str
    keep: Sequence[str] = ()
    image_column: str | None = None
    sampling: str = "0s"  # all frames: only find_sources samples unless asked otherwise

    def stamp(self) -> Stamp:
        return image_at(self.name).stamp()
