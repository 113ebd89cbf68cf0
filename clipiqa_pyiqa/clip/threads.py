"""How many threads of torch compute."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(is_wanted: bool = True) -> Iterator[None]:
    """Compute with one thread of torch, so that results are equal for any number of threads."""
    threads = torch.get_num_threads()
    if not is_wanted or threads == 1:  # what is set here becomes the default of later threads too
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
