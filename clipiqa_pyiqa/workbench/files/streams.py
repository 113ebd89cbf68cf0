"""Standard streams, which all threads of a process share: contexts that several threads can be in at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO, cast


class SharedContext:
    """A context that the first of several threads enters and the last one leaves.

    ``contextlib.redirect_stdout`` alone would leave another thread's stream behind if two threads use it.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._users = 0
        self._context: AbstractContextManager[Any] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._context is None:
                context = self._make()
                context.__enter__()
                self._context = context
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._context is not None:
                self._context.__exit__(None, None, None)
                self._context = None


_prints_messages: ContextVar[bool] = ContextVar("prints_messages")
"""Whether what this thread prints goes to standard error; unset in threads that no command began, as those of Ray."""


class _OutputByThread:
    """Standard output, or standard error for threads in :func:`output_as_messages` and for those that they began."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._current().write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current(), name)

    def _current(self) -> TextIO:
        return sys.stderr if _prints_messages.get(True) else self._stream


_output = SharedContext(lambda: redirect_stdout(cast(TextIO, _OutputByThread(sys.stdout))))


@contextmanager
def output_as_messages() -> Iterator[None]:
    """Send to standard error what libraries print on standard output in this thread; others' output stays."""
    token = _prints_messages.set(True)
    try:
        with _output:
            yield
    finally:
        _prints_messages.reset(token)


@contextmanager
def output_of_this_thread() -> Iterator[None]:
    """Let this thread print on standard output, whatever other threads do."""
    token = _prints_messages.set(False)
    try:
        yield
    finally:
        _prints_messages.reset(token)
