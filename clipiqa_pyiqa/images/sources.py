"""What the paths on a command line stand for: files, folders, quoted globs, or a list on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import first_of
from .reader import images_in


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


def find_inputs(arguments: Sequence[str], null_separated: bool = False) -> Inputs:
    """Resolve paths as typed.

    A file counts whatever its name. A folder stands for the image files in it and its sub-folders, by suffix and in
    sorted order, without hidden ones. What does not exist but holds ``*``, ``?`` or ``[`` is a glob (``**`` crosses
    folders). ``-`` reads names of files and folders from standard input.

    Args:
        arguments: The paths.
        null_separated: The names on standard input end with a NUL byte, as from ``find -print0``, not with the line.
    """
    inputs = Inputs()
    seen: set[str] = set()
    for argument in arguments:
        names = _from_stdin(null_separated) if argument == "-" else [argument]
        if not names:
            inputs.problems["-"] = "the list on standard input is empty"
        for name in names:
            found = list(_files(name, globs=argument != "-"))
            if not found:
                inputs.problems[name] = _nothing(name)
            for path in found:
                identity = os.path.abspath(path)
                if identity not in seen:
                    seen.add(identity)
                    inputs.paths.append(path)
    return inputs


def _from_stdin(null_separated: bool) -> list[str]:
    names = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(name.rstrip(b"\r")) for name in names if name.strip()]


def _files(name: str, globs: bool = True) -> Iterator[str]:
    if os.path.isdir(name):
        yield from images_in(name)
    elif os.path.lexists(name):
        yield name
    elif globs and glob.has_magic(name):
        for match in sorted(glob.glob(name, recursive=True)):
            yield from _files(match, globs=False)


def _nothing(name: str) -> str:
    if os.path.isdir(name):
        return f"the folder {name!r} holds no image files"
    if glob.has_magic(name):
        return f"nothing matches {name!r}"
    return f"{name!r} does not exist"
