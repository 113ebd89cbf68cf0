"""Ctrl-C and SIGTERM as an orderly end of every command."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a run as Ctrl-C does."""


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While this lasts, SIGTERM raises :class:`Terminated`; in the main thread, which alone gets signals."""

    def interrupt(*_: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """In this context an interruption stays one, even where it came within Python's own locks.

    These may meet it with a ``RuntimeError`` of theirs ("release unlocked lock"), whose context it then is.
    """
    try:
        yield
    except RuntimeError as error:
        earlier = error.__context__
        while earlier is not None and not isinstance(earlier, KeyboardInterrupt):
            earlier = earlier.__context__
        if earlier is None:
            raise
        raise type(earlier)(*earlier.args) from error


@contextlib.contextmanager
def on_interrupt(hint: str) -> Iterator[None]:
    """Where a command is interrupted in this context, its last words are a hint, unless others were said already."""
    try:
        with interrupts_kept():
            yield
    except KeyboardInterrupt as error:
        raise type(error)(*(error.args or (hint,))) from error


def last_words(error: KeyboardInterrupt) -> tuple[str, int]:
    """What an interrupted command says at its end, and its exit code."""
    said = ": ".join(filter(None, ("interrupted", "; ".join(map(str, error.args)))))
    return said, 143 if isinstance(error, Terminated) else 130
