"""Threads that work on several images at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


def images_at_once(device: torch.device, count: int | None) -> int:
    """Return how many images are scored at once, each on a thread: on a CPU the number of torch's threads.

    ``count``: the run's number of images, None if unknown. The result is 1 on other devices, where images share
    batches, and for fewer images than threads.
    """
    threads = torch.get_num_threads()
    has_image_for_each = count is None or count >= threads
    return threads if device.type == "cpu" and has_image_for_each else 1


@contextmanager
def one_thread_each(count: int) -> Iterator[ThreadPoolExecutor | None]:
    """Yield a pool of threads with one thread of torch each; None for a single one, as the calling thread works."""
    if count == 1:
        yield None
        return
    usual_count = torch.get_num_threads()
    started = threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread takes the default when it first asks, whatever it has set before
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="clipiqa-score")
    try:
        for _ in range(count):
            pool.submit(start)
        started.wait()
        torch.set_num_threads(usual_count)  # what a thread sets is the default of later threads too
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
