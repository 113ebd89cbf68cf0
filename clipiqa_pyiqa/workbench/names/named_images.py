"""The images that names in results stand for."""

from collections.abc import Iterable, Iterator

from ...errors import CLIPIQAError
from ...text import printable, reason_of
from ..images.image import Image, NoImage
from ..sources.image_files import image_at
from ..sources.shard_classes import shard_class
from ..sources.shards import TABLES
from .members import split_name


def images_named(names: Iterable[str]) -> Iterator[Image]:
    """Yield the image of each name in results, shard by shard; a missing image is a ``NoImage``."""
    names_by_shard = dict[str, list[str]]()
    for name in dict.fromkeys(names):
        names_by_shard.setdefault(split_name(name)[0], []).append(name)
    for shard, names_in_shard in names_by_shard.items():
        if shard:
            yield from _images_in_shard(shard, names_in_shard)
        else:
            yield from map(image_at, names_in_shard)


def _images_in_shard(shard: str, names: list[str]) -> Iterator[Image]:
    """Yield the images of a shard that have these names, then a ``NoImage`` for each that was not found."""
    missing = dict.fromkeys(names)
    why = "is not in its shard"
    try:
        for image in _entries(shard, names):
            name = printable(image.name)
            if name in missing:
                missing.pop(name)
                image.name = name
                yield image
            if not missing:
                break
    except (CLIPIQAError, OSError) as error:
        why = f"cannot be read from its shard: {getattr(error, 'reason', '') or reason_of(error)}"
    for name in missing:
        yield NoImage(name, why)


def _entries(shard: str, names: Iterable[str]) -> Iterator[Image]:
    """Yield the images of a shard; of a Parquet file, only those in the rows that the names tell."""
    shard_file = shard_class(shard)(shard)
    if not shard.lower().endswith(TABLES):
        yield from shard_file.entries()
        return
    members = [split_name(name)[1] for name in names]
    yield from shard_file.entries({int(member) for member in members if member.isdecimal()})
