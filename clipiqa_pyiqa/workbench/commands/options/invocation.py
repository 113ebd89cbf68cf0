"""The command line that runs, which tables keep."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path

from ....text import printable

Invocation = Mapping[str, str | Mapping[str, str]]
_invocation: ContextVar[Invocation] = ContextVar("invocation")


@contextlib.contextmanager
def invoked(argv: Sequence[str], option_files: Sequence[str]) -> Iterator[None]:
    """Let :func:`invocation` tell of this command line, and of the files of options that it names."""
    told: dict[str, str | Mapping[str, str]] = {"command line": printable(shlex.join(["clipiqa", *argv]))}
    for path in option_files:
        file = Path(path).expanduser()
        if file.is_file():  # others are shipped with this package
            from ....files import hash_file  # imports hashlib

            told[f"options in {printable(path)}"] = {"sha256": hash_file(file)}
    token = _invocation.set(told)
    try:
        yield
    finally:
        _invocation.reset(token)


def invocation() -> Invocation:
    """Return the command line that runs, and the hashes of files of options in it; nothing outside a command."""
    return _invocation.get({})
