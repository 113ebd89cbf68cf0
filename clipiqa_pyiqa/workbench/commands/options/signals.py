"""Ctrl-C and SIGTERM: both interrupt a command, and wait while PyTorch is loaded."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Terminated(KeyboardInterrupt):
    """The interrupt of SIGTERM; ends a run like Ctrl-C."""


def _receives_signals() -> bool:
    """Return whether Python handles signals in this thread, as it does in the main one only."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a command like Ctrl-C."""
    if not _receives_signals():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block.

    PyTorch's libraries abort the process if Python raises while they are loaded.
    """
    if not _receives_signals():
        yield
        return
    received = list[int]()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in handlers:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for received_number in received:
            signal.raise_signal(received_number)
