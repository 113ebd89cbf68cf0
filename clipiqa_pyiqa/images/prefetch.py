"""Work done ahead in the background, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_background(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int | None = None
) -> Generator[Result, None, None]:
    """``map`` by threads: results in the order of the items, worked out while the caller is busy with earlier ones.

    Args:
        function: What to do with an item; what it raises is raised in its item's turn, and ends the work.
        items: Taken no further ahead than asked.
        workers: Threads.
        ahead: Items that may be under way or waiting beyond the one that is handed out; default two per thread.
    """
    most = 2 * workers if ahead is None else ahead
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clipiqa-decode")
    coming: deque[Future[Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > most:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
