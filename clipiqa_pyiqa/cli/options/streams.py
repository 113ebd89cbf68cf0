"""Standard output and error that are full, closed or left by their reader: what a command makes of it.

Messages on standard error may get lost: nothing depends on them. So may text on standard output while the work goes to
files (``--out``): it is finished, and a reader that left, as in ``| head``, has what he wanted. Without files there is
nothing to go on for.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from ...files.names import harmless

READER_LEFT = 141  # what a shell says of a program that SIGPIPE ended
FAILED = 2


class _Stream:
    """A text stream in place of another: what cannot be written is left out, once ``given_up`` was told why."""

    def __init__(self, stream: TextIO, given_up: Callable[[], object] = lambda: None) -> None:
        self._stream, self._given_up = stream, given_up
        self.problem: OSError | None = None
        self.harmless = False

    def write(self, text: str) -> int:
        shown = harmless(text) if self.harmless else text
        self._attempt(lambda: self._stream.write(shown))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def let_go(self, problem: OSError) -> None:
        """Write no more, and have what the stream still holds go nowhere, or Python would fail on it at its end."""
        self.problem = problem
        with contextlib.suppress(OSError, ValueError):  # ValueError: there is no file below it
            number, nowhere = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self.problem is None:
            try:
                act()
            except OSError as error:
                self.let_go(error)
                self._given_up()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def standard_streams(
    command: Callable[[], str], to_files: Callable[[], bool]
) -> Iterator[Callable[[int, OSError | None], int]]:
    """Lets standard output and error fail, in a context.

    Args:
        command: What messages begin with.
        to_files: Whether the work goes to files.

    Yields:
        A function of the exit code that the work ended with, and of an error of a stream that ended it, if one did,
        which returns the exit code to end with: another one where something is missing.
    """

    def end() -> None:
        if not to_files():
            raise SystemExit(FAILED)  # as what, is decided once it is caught

    def ended(code: int, problem: OSError | None = None) -> int:
        with contextlib.suppress(SystemExit):  # of end()
            out.flush()
        if problem is not None and out.problem is None:
            out.let_go(problem)
        if out.problem is None:
            return code
        if isinstance(out.problem, BrokenPipeError):
            return code if to_files() and problem is None else READER_LEFT
        also = "; what goes to files is complete" if to_files() and not code else ""
        reason = out.problem.strerror or out.problem
        print(f"{command()}: error: cannot write to standard output: {reason}{also}.", file=sys.stderr)
        return code or FAILED

    _reserve_closed()
    before = sys.stdout, sys.stderr
    out, err = _Stream(sys.stdout, end), _Stream(sys.stderr)
    err.harmless = True  # whatever a message quotes
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield ended
    finally:
        err.flush()
        sys.stdout, sys.stderr = before


def _reserve_closed() -> None:
    """Open the standard streams that were closed (``>&-``), or the next files, results say, would be in their place.

    Standard output can then not be written to, as before; messages on standard error go nowhere.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as Python
