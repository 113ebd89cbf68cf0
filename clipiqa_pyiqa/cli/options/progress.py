"""A bar of progress on standard error, one per data set or other piece of work."""

from __future__ import annotations

from typing import Any


class Bar:
    """One progress bar per name, made when it is known how much there is to do; a context manager."""

    def __init__(self, hidden: bool, unit: str = "image") -> None:
        self._hidden, self._unit = hidden, unit
        self._bar: Any = None
        self._name = ""

    def show(self, name: str, done: float, total: int) -> None:
        """So many of a data set's images, or of another unit, are done, in part too; the name stands before the bar."""
        from tqdm import tqdm

        if self._bar is None or self._name != name:
            self.close()
            self._name = name
            self._bar = tqdm(
                desc=name, total=total, unit=self._unit, initial=int(done), disable=True if self._hidden else None
            )
        self._bar.n = int(done) if done == int(done) else round(done, 1)
        self._bar.update(0)

    def close(self) -> None:
        """The data set is done."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
