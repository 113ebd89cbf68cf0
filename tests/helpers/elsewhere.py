"""A store for tests that all processes see: elsewhere:///PATH is the file at PATH."""

import fsspec
from fsspec.implementations.local import LocalFileSystem

PREFIX = "elsewhere://"


class Elsewhere(LocalFileSystem):
    protocol = "elsewhere"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix(PREFIX))

    def unstrip_protocol(self, name):
        return PREFIX + self._strip_protocol(name)


def register():
    """Make the store known to this process."""
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
