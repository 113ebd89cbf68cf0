"""Work in processes of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import queue
import signal
from typing import Any

from ..errors import CLIPIQAError, ImageError
from ..images.memory import is_over


class Processes:
    """A function that threads call and processes compute; they start when needed, and end with this object.

    Args:
        count: Number of processes.
        prepare: Returns in each process the function, when called with ``arguments``.
    """

    def __init__(self, count: int, prepare: Any, *arguments: Any) -> None:
        self._given, self._idle = pickle.dumps((prepare, arguments)), queue.LifoQueue[Any]()
        for _ in range(count):
            self._idle.put(None)

    def __call__(self, *arguments: Any) -> Any:
        """Return the result; None if the process was killed, and another one, too."""
        for _ in range(2):
            pipe, usable = self._idle.get(), None
            try:
                with contextlib.suppress(EOFError, OSError):  # the process was killed
                    pipe = pipe or self._started()
                    pipe.send_bytes(pickle.dumps(arguments))
                    result = pickle.loads(_received(pipe))
                    usable = pipe
                    return result
            finally:
                self._idle.put(usable)
        return None

    def _started(self) -> Any:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, self._given), daemon=True).start()
        theirs.close()
        try:
            _received(ours)
        except EOFError:
            raise CLIPIQAError("a process ended before it could score: use fewer `processes`, or none.") from None
        return ours


def _received(pipe: Any) -> bytes:
    while not pipe.poll(0.1):
        if is_over():
            raise ImageError("was not scored, as the run has ended")
    answer: bytes = pipe.recv_bytes()
    return answer


def _serve(pipe: Any, given: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the first process, and so this one
    prepare, arguments = pickle.loads(given)
    function = prepare(*arguments)
    with contextlib.suppress(EOFError, OSError):  # the first process has ended
        pipe.send_bytes(b"")
        while True:
            pipe.send_bytes(pickle.dumps(function(*pickle.loads(pipe.recv_bytes()))))
