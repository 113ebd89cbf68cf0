"""Reading ahead of whoever decodes, by a thread, bounded in bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator

from ..images.source import ImageSource, NoImage
from .members import Shard, ShardError
from .stores import stalled, store_error, timeout

AHEAD_BYTES = 64 << 20
MOST_AHEAD = 4096  # images, whatever their size


def read_ahead(shard: Shard, most_bytes: int = AHEAD_BYTES) -> Generator[ImageSource, None, None]:
    """A shard's images in their order, read by a thread so that a store's delays are not waited for one by one.

    Args:
        shard: The shard.
        most_bytes: That may wait, beyond which a single image is let through.

    Raises:
        ShardError: The shard cannot be read, or nothing has come for ``CLIPIQA_STORE_TIMEOUT`` seconds.
    """
    waiting: deque[ImageSource] = deque()
    state = _State()
    thread = threading.Thread(target=_fill, args=(shard, waiting, state, most_bytes), daemon=True, name="clipiqa-read")
    thread.start()
    try:
        while True:
            with state.changed:
                if not state.changed.wait_for(lambda: waiting or state.ended, timeout()):
                    raise stalled(shard.name)
                if not waiting:
                    break
                entry = waiting.popleft()
                state.bytes -= getattr(entry, "size", 0)
                state.changed.notify_all()
            yield entry
    finally:
        with state.changed:
            state.stopped = True
            state.changed.notify_all()
    if state.error is not None:
        raise store_error(shard.name, state.error) from state.error


def images_of(shard: Shard) -> Iterator[ImageSource]:
    """:func:`read_ahead`, with an image that cannot be read in place of what a shard that cannot be read still has."""
    try:
        yield from read_ahead(shard)
    except ShardError as error:
        reason = error.reason if error.name == shard.name else f"cannot be read: {str(error).rstrip('.')}"
        yield NoImage(shard.name, reason, error.kind)


class _State:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.bytes = 0
        self.ended = self.stopped = False
        self.error: Exception | None = None


def _fill(shard: Shard, waiting: deque[ImageSource], state: _State, most_bytes: int) -> None:
    entries: Iterator[ImageSource] | None = None
    try:
        entries = shard.entries()
        for entry in entries:
            size = getattr(entry, "size", 0)
            with state.changed:
                while waiting and not state.stopped and (state.bytes + size > most_bytes or len(waiting) >= MOST_AHEAD):
                    state.changed.wait()
                if state.stopped:
                    return
                waiting.append(entry)
                state.bytes += size
                state.changed.notify_all()
    except Exception as error:  # raised again where the entries are taken
        state.error = error
    finally:
        if hasattr(entries, "close"):
            entries.close()  # type: ignore[union-attr]
        with state.changed:
            state.ended = True
            state.changed.notify_all()
