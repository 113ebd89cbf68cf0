"""What a command shows on a terminal: messages, a progress bar, tables, and how to continue after an interruption."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ....errors import OptionError
from ....files.printable import one_line, printable
from ....logger import log
from ...files.named import label_and_value
from ...files.shown_text import harmless
from ...files.streams import SharedContext, output_of_this_thread

if TYPE_CHECKING:
    import pandas

EVERY = 30.0  # seconds between lines of progress where no bar is shown


Invocation = Mapping[str, str | Mapping[str, str]]
_invocation: ContextVar[Invocation] = ContextVar("invocation")


@contextlib.contextmanager
def invoked(argv: Sequence[str], option_files: Sequence[str]) -> Iterator[None]:
    """Let :func:`invocation` tell of this command line, and of the files of options that it names."""
    told: dict[str, str | Mapping[str, str]] = {"command line": printable(shlex.join(["clipiqa", *argv]))}
    for path in option_files:
        file = Path(path).expanduser()
        if file.is_file():  # others are shipped with this package
            from ....files.hashes import hash_file  # imports hashlib

            told[f"options in {printable(path)}"] = {"sha256": hash_file(file)}
    token = _invocation.set(told)
    try:
        yield
    finally:
        _invocation.reset(token)


def invocation() -> Invocation:
    """Return the command line that runs, and the hashes of files of options in it; nothing outside a command."""
    return _invocation.get({})


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


def _is_quiet() -> bool:
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
    for text in texts:
        log.warning(text)


note = log.info


class _ProgressBar:
    """A progress bar on a terminal; elsewhere a line every 30 seconds. It starts again with each new name."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._name: str | None = None
        self._bar: Any = None
        self._done_before = 0.0
        self._start = 0.0
        self._last_line = time.monotonic()

    def __call__(self, *state: Any, detail: str = "") -> None:
        *names, done, total = state
        name = "".join(names)
        if name != self._name:
            self._start_bar(name, done, total)
        done = round(done, 2)
        self._bar.n = done
        self._bar.set_postfix_str(detail, refresh=False)
        self._bar.update(0)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= EVERY:
            self._last_line = now
            self._write_line(done, total, now - self._start, detail)

    def _start_bar(self, name: str, done: float, total: Any) -> None:
        from tqdm import tqdm

        self.close()
        self._name = name
        self._done_before = done
        self._start = time.monotonic()
        hidden = True if _is_quiet() else None  # None: hidden unless on a terminal
        self._bar = tqdm(desc=one_line(name), total=total, unit=self._unit, initial=done, disable=hidden)

    def _write_line(self, done: float, total: Any, seconds: float, detail: str) -> None:
        from tqdm import tqdm

        form = "{n_fmt} of {total_fmt} {unit}s, {remaining} left" if total else "{n_fmt} {unit}s"
        meter = tqdm.format_meter(done, total, seconds, unit=self._unit, initial=self._done_before, bar_format=form)
        line = f"{self._name}: {meter}" if self._name else meter
        note(f"{line}, {detail}" if detail else line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def progress(unit: str = "image") -> Iterator[Callable[..., None]]:
    """Show a progress bar on a terminal; elsewhere a line every 30 seconds.

    Yields a function of a name (optional) and the numbers of finished and of all units (None: unknown).
    """
    with contextlib.closing(_ProgressBar(unit)) as bar:
        yield bar


def frame_as_text(frame: pandas.DataFrame) -> str:
    from ...report.table import console_table, frame_table

    return console_table(frame_table(frame))


def numbers_by_name(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Return NAME -> number of texts such as ``NAME=0.5``; a number alone has the name ``''``."""
    labels_and_values = [label_and_value(text) for text in texts]
    with contextlib.suppress(ValueError):
        numbers = {label or "": float(value) for label, value in labels_and_values}
        if len(numbers) == len(texts):
            return numbers
    raise OptionError(
        f"{{{option}}} must be NUMBER or NAME=NUMBER, once for each name; got {' '.join(texts)!r}.", options=(option,)
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first row has the columns' names."""
    from ...report.table import Table, console_table, words

    return console_table(Table("", [words(name, cells) for name, *cells in zip(*rows, strict=True)]))


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


@contextlib.contextmanager
def on_interrupt(hint: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(*error.args, hint) from error


@contextlib.contextmanager
def stored(out: object) -> Iterator[None]:
    with on_interrupt(f"--out {out} --resume continues from here" if out else "without --out, no result was kept"):
        yield
    if out:
        note(f"results are in {out}")
