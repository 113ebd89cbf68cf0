"""Images of many sources one after the other, and the image files that paths stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ImageError, shown
from ..errors.arguments import checked
from ..images.source import FileSource, ImageSource, NoImage
from .ahead import read_ahead
from .finding import Found, each_of, find_shards
from .members import Shard, ShardError


@checked
def find_inputs(arguments: Iterable[str], null_separated: bool = False) -> Found:
    """Find the image files on this machine that paths stand for: ``paths`` of the result.

    Args:
        arguments: Files, folders, globs, or ``-`` for a list on standard input.
        null_separated: Names on standard input end with a NUL byte.

    Raises:
        ImageError: An argument is not a text.
    """
    arguments = list(arguments)
    if wrong := [argument for argument in arguments if not isinstance(argument, str)]:
        raise ImageError(f"arguments must be paths as texts; got {shown(wrong[0])} ({type(wrong[0]).__name__}).")
    found = find_shards(arguments, null_separated=null_separated)
    for item in found.items:
        if not isinstance(item, FileSource) and item.name not in found.problems:
            what = "a shard" if isinstance(item, Shard) else "not on this machine"
            found.problems[item.name] = f"{item.name!r} is {what}, but image files or folders of them were expected"
    return found


def sources_of(given: Any) -> Iterator[ImageSource]:
    """Yield the images of sources as for :func:`~.finding.find_shards`, in order, those of a shard one by one."""
    for one in each_of(given):
        for item in find_shards([one]).items:
            if not isinstance(item, Shard):
                yield item
                continue
            try:
                yield from read_ahead(item)
            except ShardError as error:
                why = error.reason if error.name == item.name else f"cannot be read: {str(error).rstrip('.')}"
                yield NoImage(item.name, why, error.kind)
