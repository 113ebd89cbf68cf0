"""Orderly end of a command at Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Terminated(KeyboardInterrupt):
    """Error at SIGTERM; ends a run like Ctrl-C."""


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise :class:`Terminated` at SIGTERM, in the main thread."""

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
def on_interrupt(hint: str) -> Iterator[None]:
    """Add a hint to an interrupt that has no message."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(*(error.args or (hint,))) from error
