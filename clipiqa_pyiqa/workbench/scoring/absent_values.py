"""Values to keep that no sample of a shard has."""

from collections.abc import Sequence

from ...text import first_of


def sentence_about_absent(name: str, shards: Sequence[str]) -> str:
    """Return a sentence about a value to keep that no sample of some shards has."""
    return f"no sample of {first_of(map(repr, shards))} has the value {name!r}, which was to be kept"
