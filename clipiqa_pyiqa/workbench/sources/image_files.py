"""Image files, on disk or in a store."""

from dataclasses import dataclass
from functools import cached_property

from ...errors import Kind
from ..images.image import File, Image
from ..images.stamp import MISSING, UNKNOWN, Stamp
from .addresses import is_remote
from .shard_error import ShardError
from .stores import in_store

# What stores call a file's checksum or time, the checksum first. fsspec's ukey() hashes only the address for http.
_MARKS = ["ETag", "etag", "blob_id", "sha", "CRC", "LastModified", "Last-Modified", "last_modified", "mtime", "created"]


@dataclass(eq=False)
class StoreFile(Image):
    """An image file in a store."""

    name: str

    def stamp(self) -> Stamp:
        """Return size and checksum or time, from a listing or one request, made once: see :meth:`.Image.stamp`."""
        return self._listed

    @cached_property
    def _listed(self) -> Stamp:
        try:
            with in_store(self.name) as (fs, path):
                info = fs.info(path)
        except ShardError as error:
            return MISSING if error.kind is Kind.MISSING else UNKNOWN
        mark = next((info[name] for name in _MARKS if info.get(name)), None)
        return Stamp(f"{info.get('size')} {mark}") if mark else UNKNOWN

    def read(self) -> bytes:
        with in_store(self.name) as (fs, path):
            data: bytes = fs.cat_file(path)
            return data


def image_at(name: str) -> Image:
    """Return the image file of this name, on disk or in a store."""
    return StoreFile(name) if is_remote(name) else File(name)
