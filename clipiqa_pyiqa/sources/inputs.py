"""The image files that paths stand for, and the images of all sources one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ImageError, first_of, shown
from ..errors.arguments import checked
from ..images.source import FileSource, ImageSource
from .ahead import images_of
from .finding import Finder, each_of, find_shards, is_shard
from .members import Shard


@dataclass
class Inputs:
    """The files to score, without duplicates and in input order, and the inputs that are not files.

    Attributes:
        paths: Files that exist.
        problems: What was given -> why there is nothing to score in it.
    """

    paths: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """The first problem and how many more there are, as the beginning of a sentence."""
        return first_of(self.problems.values())


@checked
def find_inputs(arguments: Iterable[str], null_separated: bool = False) -> Inputs:
    """Resolve paths as typed, as :func:`~.finding.find_shards` does, to image files on this machine.

    Args:
        arguments: The paths.
        null_separated: The names on standard input end with a NUL byte, as from ``find -print0``, not with the line.
    """
    arguments = list(arguments)
    if wrong := [argument for argument in arguments if not isinstance(argument, str)]:
        raise ImageError(f"arguments must be paths as texts; got {shown(wrong[0])} ({type(wrong[0]).__name__}).")
    found = find_shards(arguments, null_separated=null_separated)
    inputs = Inputs(problems=found.problems)
    for item in found.items:
        if isinstance(item, FileSource):
            inputs.paths.append(item.name)
        elif item.name not in found.problems:
            what = "a shard" if is_shard(item) else "not on this machine"
            inputs.problems[item.name] = f"{item.name!r} is {what}, but image files or folders of them were expected"
    return inputs


def sources_of(given: Any) -> Iterator[ImageSource]:
    """Yield images one after the other, with those of shards in their places.

    Args:
        given: As for :func:`~.finding.find_shards`; what is given twice comes twice.
    """
    for one in each_of(given):
        for item in Finder().items(one):
            yield from images_of(item) if isinstance(item, Shard) else [item]
