"""A store for tests that all processes see: elsewhere:///PATH is the file at PATH."""

import fsspec
from fsspec.implementations.local import LocalFileSystem

PREFIX = "elsewhere://"


class Elsewhere(LocalFileSystem):
    """As most stores, it keeps what it has listed, until it is told to forget that."""

    protocol = "elsewhere"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._listed = {}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix(PREFIX))

    def unstrip_protocol(self, name):
        return PREFIX + self._strip_protocol(name)

    def find(self, path, *args, **options):
        key = ("find", path, str(options))
        if key not in self._listed:
            self._listed[key] = super().find(path, *args, **options)
        return self._listed[key]

    def info(self, path, **options):
        key = ("info", self._strip_protocol(path))
        if key not in self._listed:
            self._listed[key] = super().info(path, **options)
        return self._listed[key]

    def invalidate_cache(self, path=None):
        self._listed.clear()


def register():
    """Make the store known to this process."""
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
