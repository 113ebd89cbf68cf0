"""Where images come from: an image's source, and what the paths on a command line stand for."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..arguments import checked
from ..errors import ImageError, first_of, shown
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
                raise ImageError(f"{path!r} is a folder, but an image file was expected.")
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{path!r} is a pipe or a device, but an image file was expected.")
            if status.st_size == 0:
                raise ImageError(f"{path!r} is empty (0 bytes).")
            with open(path, "rb") as file:
                return file.read()
        except ImageError:
            raise
        except FileNotFoundError as error:
            raise ImageError(f"{path!r} does not exist.") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ImageError(f"{path!r} cannot be opened: {reason(error)}.") from error


@dataclass(frozen=True)
class NoImage:
    """A name for which there is no image, and why, as a sentence: a source that cannot be read."""

    name: str
    problem: str

    def read(self) -> bytes:
        raise ImageError(self.problem)


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
    """Resolve paths as typed.

    A file counts whatever its name. A folder stands for the image files in it and its sub-folders, by suffix and in
    sorted order, without hidden ones. What does not exist but holds ``*``, ``?`` or ``[`` is a glob (``**`` crosses
    folders). ``-`` reads names of files and folders from standard input.

    Args:
        arguments: The paths.
        null_separated: The names on standard input end with a NUL byte, as from ``find -print0``, not with the line.
    """
    arguments = list(arguments)
    if wrong := [argument for argument in arguments if not isinstance(argument, str)]:
        raise ImageError(f"a path is a text, but {shown(wrong[0])} ({type(wrong[0]).__name__}) came.")
    inputs = Inputs()
    seen: set[str] = set()
    for argument in arguments:
        names = stdin_names(null_separated) if argument == "-" else [argument]
        if not names:
            inputs.problems["-"] = "the list on standard input is empty"
        for name in names:
            unreadable: dict[str, str] = {}
            found = list(_files(name, unreadable, globs=argument != "-"))
            inputs.problems |= unreadable
            if not found and not unreadable:
                inputs.problems[name] = nothing_in(name)
            for path in found:
                identity = os.path.abspath(path)
                if identity not in seen:
                    seen.add(identity)
                    inputs.paths.append(path)
    return inputs


def sources_of(given: Any) -> Iterator[ImageSource]:
    """Sources as they come, found one after the other: paths stand for what :func:`find_inputs` says (no ``-``).

    Shards, patterns of them and addresses stand for their images: see :func:`~.shards.find_shards`.
    """
    from .shards.ahead import images_of
    from .shards.finding import find_shards, is_shard, means_shards

    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        given = [given]
    try:
        items = iter(given)
    except TypeError:
        raise ImageError(f"images are a path or a list of them, but {shown(given)} came.") from None
    for item in items:
        if not isinstance(item, str | os.PathLike):
            yield from images_of(item) if is_shard(item) else [item]
            continue
        name = os.fspath(item)
        if means_shards(name):
            yield from sources_of(find_shards(name).items)
            continue
        unreadable: dict[str, str] = {}
        found = False
        for path in _files(name, unreadable):
            found = True
            yield FileSource(path)
        yield from (NoImage(each, f"{problem}.") for each, problem in unreadable.items())
        if not found and not unreadable:
            yield from sources_of(find_shards(name).items)


def images_in(
    folder: str | os.PathLike[str], unreadable: dict[str, str] | None = None, skipped: Counter[str] | None = None
) -> Iterator[str]:
    """The image files in a folder and its sub-folders, by suffix, sorted; hidden ones are skipped.

    Args:
        folder: The folder.
        unreadable: Receives folders that cannot be read -> why, as a clause.
        skipped: Counts, by suffix, the photos in formats that are not read.

    Raises:
        ImageError: A folder cannot be read, and nobody asked which.
    """
    suffixes, others = image_suffixes(), unreadable_suffixes()

    def note(error: OSError) -> None:
        problem = f"the folder {error.filename!r} cannot be read: {reason(error)}"
        if unreadable is None:
            raise ImageError(f"{problem}.") from error
        unreadable[error.filename] = problem

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


def stdin_names(null_separated: bool) -> list[str]:
    names = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(name.rstrip(b"\r")) for name in names if name.strip()]


def _files(name: str, unreadable: dict[str, str], globs: bool = True) -> Iterator[str]:
    if os.path.isdir(name):
        yield from images_in(name, unreadable)
    elif os.path.lexists(name):
        yield name
    elif globs and glob.has_magic(name):
        for match in sorted(glob.glob(name, recursive=True)):
            yield from _files(match, unreadable, globs=False)


def nothing_in(name: str) -> str:
    if os.path.isdir(name):
        return f"the folder {name!r} holds no image files"
    if glob.has_magic(name):
        return f"nothing matches {name!r}"
    return f"{name!r} does not exist"
