"""A bar of progress on standard error, one per data set."""

from __future__ import annotations

from typing import Any


class Bar:
    """One progress bar per data set; a context manager."""

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden
        self._bar: Any = None
        self._name = ""

    def show(self, name: str, done: int, total: int) -> None:
        """So many of a data set's images are done."""
        from tqdm import tqdm

        if self._bar is None or self._name != name:
            self.close()
            self._name = name
            self._bar = tqdm(desc=name, total=total, unit="image", initial=done, disable=True if self._hidden else None)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """The data set is done."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
