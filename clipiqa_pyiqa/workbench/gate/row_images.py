"""The images of rows, as far as they are files on disk, and hashes of their pixels."""

import hashlib
from collections.abc import Iterator, Mapping

from ...errors import ImageError
from ...text import on_disk
from ..images.formats import VIDEOS
from ..images.image import Image
from ..images.prefetch import prefetch
from ..names.members import split_name
from ..names.named_images import images_named
from ..options import AnySize
from ..sources.addresses import is_remote
from ..sources.image_files import image_at


def pixel_digests(names: Mapping[str, str]) -> dict[str, str]:
    """Return row -> a hash of size and pixels of its image; rows whose image cannot be read are left out."""
    reading = AnySize(damaged="keep")

    def digest(row_and_image: tuple[str, Image]) -> str:
        pixels = row_and_image[1].load(reading).pixels.numpy()
        return hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes()).hexdigest()

    answers = prefetch(digest, images_of_rows(names))
    return {row: answer for (row, _), answer in answers if not isinstance(answer, ImageError)}


def images_of_rows(names: Mapping[str, str]) -> Iterator[tuple[str, Image]]:
    """Yield each row's image, given row -> name in results; videos and images in a store are left out."""
    rows_of_members = {}
    for row, name in names.items():
        shard, _ = split_name(name)
        if is_remote(name) or (shard or name).lower().endswith(VIDEOS):
            continue
        if shard:
            rows_of_members[name] = row
        else:
            yield row, image_at(on_disk(name))
    for image in images_named(rows_of_members):
        yield rows_of_members[image.name], image
