"""A number of bytes that threads take and give back."""

import threading
from collections.abc import Callable


class ByteBudget:
    """Bytes that threads take and give back; a thread waits until what it asks for is free.

    While nothing is taken, one request may be larger than the whole budget.

    Attributes:
        is_closed: Whether nobody needs any more what the threads work on.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_closed = False
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int, spare: int = 0, is_urgent: Callable[[], bool] = lambda: False) -> bool:
        """Take ``size`` bytes, as soon as these and ``spare`` bytes are free; return whether the budget is open.

        Args:
            is_urgent: Asked while the thread waits; True ends its waiting.
        """

        def may_take() -> bool:
            is_free = not self._taken or self._taken + size + spare <= self.most
            return is_free or self.is_closed or is_urgent()

        with self._changed:
            self._changed.wait_for(may_take)
            self._taken += size
            return not self.is_closed

    def give_back(self, size: int) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def wake(self) -> None:
        """Let all threads that wait ask again whether they may take their bytes."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let no thread wait any longer."""
        self.is_closed = True
        self.wake()
