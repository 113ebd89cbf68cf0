"""Tasks of a run into a folder: a shard, or files outside of shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...text import printable
from ..images.image import Image
from ..sources.shard_images import images_of_shard
from ..sources.shards import Shard


@dataclass(frozen=True)
class ShardTask:
    """A task: a shard, or files outside of shards; ``done`` are images of the shard that have rows."""

    content: Shard | Sequence[Image]
    done: frozenset[str] = frozenset()

    @property
    def shard(self) -> str | None:
        """The shard's name; None for files."""
        return printable(self.content.name) if isinstance(self.content, Shard) else None

    @property
    def names(self) -> list[str]:
        """The shard's name, or those of the files."""
        if isinstance(self.content, Shard):
            return [printable(self.content.name)]
        return [printable(file.name) for file in self.content]

    def images(self) -> Iterator[Image]:
        """Yield the images that have no rows."""
        images = images_of_shard(self.content) if isinstance(self.content, Shard) else iter(self.content)
        return (image for image in images if printable(image.name) not in self.done)
