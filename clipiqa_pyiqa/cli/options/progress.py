"""Messages on standard error: lines, and a progress bar."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from ...files.names import harmless, one_line, plain_lines

EVERY = 30.0  # seconds between lines of progress without a bar
_speaker = {"command": "", "quiet": False}


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


@contextlib.contextmanager
def speaking(command: str, quiet: bool) -> Iterator[None]:
    """Print messages and the log with the command's name."""
    handler, logger, before = _Lines(), logging.getLogger("clipiqa_pyiqa"), {**_speaker}
    _speaker.update(command=command, quiet=quiet)
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        _speaker.update(before)


class Messages:
    """Standard error without control characters or unwritable text."""

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


def drop(stream: TextIO) -> None:
    """Drop a stream's unwritten text; Python would fail to write the text at exit."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: the stream has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(text: str) -> None:
    tqdm = sys.modules.get("tqdm")  # without tqdm, no bar is shown
    with contextlib.nullcontext() if tqdm is None else tqdm.tqdm.external_write_mode():
        print(f"clipiqa {_speaker['command']}: {plain_lines(text)}", file=sys.stderr)


def note(text: str) -> None:
    """Print a line, unless ``--quiet`` is given."""
    if not _speaker["quiet"]:
        tell(text)


class Bar:
    """A progress bar on a terminal; elsewhere a line every 30 seconds."""

    def __init__(self, unit: str = "image", shown: bool | None = None) -> None:
        self._unit, self._shown = unit, shown
        self._bar: Any = None
        self._name, self._reported = "", time.monotonic()

    def show(self, name: str, done: float, total: int | None, line: str = "") -> None:
        """Show how many units are done; without a bar, print ``line``."""
        from tqdm import tqdm

        if self._bar is None or self._name != name:
            self.close()
            self._name = name
            hidden = True if _speaker["quiet"] else None if self._shown is None else not self._shown
            self._bar = tqdm(desc=one_line(name), total=total, unit=self._unit, initial=int(done), disable=hidden)
        self._bar.n = int(done) if done == int(done) else round(done, 1)
        self._bar.update(0)
        if self._bar.disable and self._shown is not False and (now := time.monotonic()) - self._reported >= EVERY:
            self._reported = now
            of = "" if total is None else f" of {total:,}"
            note(line or f"{f'{name}: ' if name else ''}{done:,}{of} {self._unit}s done")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
