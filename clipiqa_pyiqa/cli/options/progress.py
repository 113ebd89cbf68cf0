"""What a command says on standard error while it works: lines, and a bar of progress."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from ...files.names import harmless, one_line, plain_lines

EVERY = 30.0  # seconds between lines of progress where there is no bar
_said_by = {"command": "", "quiet": False}


@contextlib.contextmanager
def speaking(command: str, quiet: bool) -> Iterator[None]:
    """Speak as a command in a context, where lines of the package's log are the command's, too."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    handler, logger = Lines(), logging.getLogger("clipiqa_pyiqa")
    before = {**_said_by}
    _said_by.update(command=command, quiet=quiet)
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        _said_by.update(before)


class Messages:
    """Standard error whose text cannot steer a terminal, and may get lost: nothing depends on it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(harmless(text))
            self._stream.flush()
        except OSError:
            let_go(self._stream)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def let_go(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, or Python would fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: there is no file below it
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(text: str) -> None:
    """Print a line."""
    with _beside_bars():
        print(f"clipiqa {_said_by['command']}: {plain_lines(text)}", file=sys.stderr)


def note(text: str) -> None:
    """Print a line unless ``--quiet`` is given."""
    if not _said_by["quiet"]:
        tell(text)


def _beside_bars() -> Any:
    tqdm = sys.modules.get("tqdm")  # where it was not imported, there are no bars
    return contextlib.nullcontext() if tqdm is None else tqdm.tqdm.external_write_mode()


class Bar:
    """One bar per name on a terminal, elsewhere a line every 30 seconds; a context manager."""

    def __init__(self, unit: str = "image", shown: bool | None = None) -> None:
        self._unit, self._shown = unit, shown
        self._bar: Any = None
        self._name, self._told = "", time.monotonic()

    def show(self, name: str, done: float, total: int | None, said: str = "") -> None:
        """Show how many images, or other units, are done, in part too; the name stands before the bar.

        Where there is no bar, the line says how many are done, or what ``said`` says.
        """
        from tqdm import tqdm

        if self._bar is None or self._name != name:
            self.close()
            self._name = name
            hidden = True if _said_by["quiet"] else not self._shown if self._shown is not None else None
            self._bar = tqdm(desc=one_line(name), total=total, unit=self._unit, initial=int(done), disable=hidden)
        self._bar.n = int(done) if done == int(done) else round(done, 1)
        self._bar.update(0)
        if self._bar.disable and self._shown is not False and (now := time.monotonic()) - self._told >= EVERY:
            self._told = now
            of = "" if total is None else f" of {total:,}"
            note(said or f"{f'{name}: ' if name else ''}{done:,}{of} {self._unit}s done")

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
