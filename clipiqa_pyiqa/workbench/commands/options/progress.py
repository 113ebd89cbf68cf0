"""A command's progress: a bar on a terminal, elsewhere a line every 30 seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ....text import one_line
from .messages import is_quiet, note

EVERY = 30.0  # seconds between lines of progress where no bar is shown


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
        hidden = True if is_quiet() else None  # None: hidden unless on a terminal
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
