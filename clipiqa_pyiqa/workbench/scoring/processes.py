"""Work in processes of its own."""

import contextlib
import multiprocessing
import pickle
import queue
import signal
from collections.abc import Callable
from typing import Any

from ...errors import CLIPIQAError, ImageError
from ..images.reading_memory import is_reading_in_vain


class Processes:
    """A function that threads call and processes compute; they start when needed, and end with this object.

    Args:
        prepare: Called in each process, returns the function.
    """

    def __init__(self, count: int, prepare: Callable[[], Callable[..., Any]]) -> None:
        self._prepare = pickle.dumps(prepare)
        self._idle = queue.LifoQueue[Any]()
        for _ in range(count):
            self._idle.put(None)

    def __call__(self, *arguments: Any) -> Any:
        """Return the result; None if the process was killed, and another one, too."""
        for _ in range(2):
            pipe = self._idle.get()
            try:
                pipe = pipe or self._started()
                pipe.send_bytes(pickle.dumps(arguments))  # torch's way of sending tensors takes shared memory
                return _received(pipe)
            except (EOFError, OSError):
                pipe = None
            finally:
                self._idle.put(pipe)
        return None

    def _started(self) -> Any:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, self._prepare), daemon=True).start()
        theirs.close()
        try:
            _received(ours)
        except EOFError:
            raise CLIPIQAError(
                "a process ended before it could score: use fewer `processes`, or none.", options=("processes",)
            ) from None
        return ours


def _received(pipe: Any) -> Any:
    while not pipe.poll(0.1):
        if is_reading_in_vain():
            pipe.close()
            raise ImageError("was not scored, as the run has ended")
    return pipe.recv()


def _serve(pipe: Any, prepare: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the first process, and so this one
    function = pickle.loads(prepare)()
    with contextlib.suppress(EOFError, OSError):  # the first process has ended
        pipe.send(None)
        while True:
            pipe.send(function(*pickle.loads(pipe.recv_bytes())))
