"""Where images come from: an image's source, and what the paths on a command line stand for."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..arguments import checked
from ..errors import ImageError, Kind, first_of, shown
from .formats import image_suffixes, unreadable_suffixes


class ImageSource(Protocol):
    """One image before it is read: a file, a member of an archive, a cell of a table."""

    @property
    def name(self) -> str:
        """What rows and messages call it."""

    def read(self) -> bytes:
        """All its bytes, as they are. Raises ``ImageError``."""


@dataclass(frozen=True)
class FileSource:
    """An image file, named by its path."""

    name: str

    def read(self) -> bytes:
        path = self.name
        try:
            status = os.stat(path)  # before opening: a pipe would block
            if stat.S_ISDIR(status.st_mode):
                raise ImageError("is a folder, but an image file was expected", Kind.NOT_A_FILE, path)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("is a pipe or a device, but an image file was expected", Kind.NOT_A_FILE, path)
            if status.st_size == 0:
                raise ImageError("is empty (0 bytes)", Kind.EMPTY, path)
            with open(path, "rb") as file:
                return file.read()
        except ImageError:
            raise
        except FileNotFoundError as error:
            raise ImageError("does not exist", Kind.MISSING, path) from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ImageError(f"cannot be opened: {reason(error)}", Kind.UNREADABLE, path) from error


@dataclass(frozen=True)
class NoImage:
    """A source that cannot be read: it stands for an image that is missing or lost.

    Attributes:
        name: As of any source.
        reason: Why there is no image, as what follows the name in a sentence.
        kind: Likewise, for code.
        kept: What is kept beside its scores, of an image in a shard.
    """

    name: str
    reason: str
    kind: Kind = Kind.MISSING
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """Name and reason, as the beginning of a sentence."""
        return f"{self.name!r} {self.reason}"

    def read(self) -> bytes:
        raise ImageError(self.reason, self.kind, self.name)


@dataclass
class Inputs:
    """The files to score, each once, in the order given, and what was given but is none.

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
    """Resolve paths as typed, as :func:`~.shards.find_shards` does, to image files on this machine.

    Args:
        arguments: The paths.
        null_separated: The names on standard input end with a NUL byte, as from ``find -print0``, not with the line.
    """
    from .shards.finding import find_shards, is_shard

    arguments = list(arguments)
    if wrong := [argument for argument in arguments if not isinstance(argument, str)]:
        raise ImageError(f"a path is a text, but {shown(wrong[0])} ({type(wrong[0]).__name__}) came.")
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
    """Sources as they come, found one after the other, with the images of shards in their places.

    Args:
        given: As for :func:`~.shards.find_shards`; what is given twice comes twice.
    """
    from .shards.ahead import images_of
    from .shards.finding import Finder, each_of
    from .shards.members import Shard

    for one in each_of(given):
        for item in Finder().items(one):
            yield from images_of(item) if isinstance(item, Shard) else [item]


def images_in(
    folder: str | os.PathLike[str], unreadable: list[NoImage] | None = None, skipped: Counter[str] | None = None
) -> Iterator[str]:
    """The image files in a folder and its sub-folders, by suffix, sorted; hidden ones are skipped.

    Args:
        folder: The folder.
        unreadable: Receives the folders that cannot be read.
        skipped: Counts, by suffix, the photos in formats that are not read.

    Raises:
        ImageError: A folder cannot be read, and ``unreadable`` is None.
    """
    suffixes, others = image_suffixes(), unreadable_suffixes()

    def note(error: OSError) -> None:
        found = NoImage(error.filename, f"is a folder that cannot be read: {reason(error)}", Kind.UNREADABLE)
        if unreadable is None:
            found.read()
        else:
            unreadable.append(found)

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in suffixes:
                yield os.path.join(parent, name)
            elif skipped is not None and suffix in others:
                skipped[suffix] += 1


def reason(error: BaseException) -> str:
    """An exception's message as part of a sentence."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
