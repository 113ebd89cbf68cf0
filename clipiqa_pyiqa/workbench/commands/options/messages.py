"""Messages of a command: the lines that it prints on standard error."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO, cast

from ....text import log
from ...files.streams import SharedContext, output_of_this_thread
from ...files.terminal_text import harmless


class _Lines(logging.Handler):
    """Prints what a command's own thread says; the command that began first, what threads without a command say."""

    def __init__(self, command: str, quiet: bool) -> None:
        super().__init__(logging.WARNING if quiet else logging.INFO)
        self.name = command

    def filter(self, record: logging.LogRecord) -> bool:
        speaker = _speaker.get(None)
        if speaker is None:
            speaker = next(handler for handler in log.handlers if isinstance(handler, _Lines))
        return speaker is self

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")  # without tqdm, no bar is shown
        write = print if tqdm is None else tqdm.tqdm.write
        write(f"clipiqa {self.name}: {record.getMessage()}", file=sys.stderr)


_speaker: ContextVar[_Lines] = ContextVar("speaker")


@contextlib.contextmanager
def _with_notes() -> Iterator[None]:
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)


_LOG = SharedContext(_with_notes)


@contextlib.contextmanager
def speaking(command: str, quiet: bool) -> Iterator[None]:
    """Print the package's log on standard error; ``quiet`` drops notes."""
    handler = _Lines(command, quiet)
    token = _speaker.set(handler)
    log.addHandler(handler)
    try:
        with _LOG, output_of_this_thread():
            yield
    finally:
        log.removeHandler(handler)
        _speaker.reset(token)


def is_quiet() -> bool:
    """Return whether the command of this thread has --quiet."""
    speaker = _speaker.get(None)
    return speaker is not None and speaker.level > logging.INFO


class Messages:
    """Standard error that escapes control characters and drops text that cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(harmless(text))
            self._stream.flush()
        except OSError:
            drop(self._stream)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


ESCAPED_MESSAGES = SharedContext(lambda: contextlib.redirect_stderr(cast(TextIO, Messages(sys.stderr))))
"""While any command runs, standard error is :class:`Messages`."""


def drop(stream: TextIO) -> None:
    """Drop a stream's unwritten text; Python would fail to write the text at exit."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: the stream has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(*texts: str) -> None:
    """Print sentences on standard error, also with --quiet."""
    for text in texts:
        log.warning(text)


def note(text: str) -> None:
    """Print a sentence on standard error; --quiet drops it."""
    log.info(text)
