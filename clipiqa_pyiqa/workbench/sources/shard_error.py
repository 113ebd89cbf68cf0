"""The error of a shard or a store that cannot be read."""

from ...errors import ImageError


class ShardError(ImageError):
    """A shard that cannot be read."""
