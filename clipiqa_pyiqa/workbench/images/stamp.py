"""Stamps: texts that tell whether an image has changed since it was scored."""


class Stamp(str):
    """A text that changes when the content of an image or a shard changes; rows of results hold it.

    It is the size and time of a file, or what a store tells. Without a known stamp, an image is scored again.
    """

    __slots__ = ()

    @property
    def is_known(self) -> bool:
        return bool(self)

    @property
    def is_missing(self) -> bool:
        """Whether there is no such file."""
        return self == MISSING


UNKNOWN = Stamp()
MISSING = Stamp("missing")
