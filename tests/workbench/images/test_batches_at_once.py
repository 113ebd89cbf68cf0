"""Batches that are worked on at once, each on a thread with one thread of torch."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
import torch
from numbered import Broken, Numbers, results

from clipiqa_pyiqa.workbench.images import batches
from clipiqa_pyiqa.workbench.images.batches import BatchLoop, Limits
from clipiqa_pyiqa.workbench.images.threads import images_at_once

pytestmark = pytest.mark.quick


def scoring_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("clipiqa-")]


def test_images_at_once_come_in_order_each_on_a_thread_with_one_thread_of_torch():
    question = ContextVar("question")
    question.set("asked")
    usual_count = torch.get_num_threads()

    class InPairs(Numbers):
        def __init__(self):
            super().__init__()
            self.both = threading.Barrier(2)
            self.thread_names = set()

        def run(self, numbers, images):
            self.both.wait(10)  # passes only while two are at work
            assert torch.get_num_threads() == 1
            assert question.get() == "asked"
            self.thread_names.add(threading.current_thread().name)
            return super().run(numbers, images)

    work = InPairs()
    loop = BatchLoop(work, Limits(batch_size=1, at_once=2, bytes_per_pixel=1))
    running = loop.results([0, 1, 4, 2, 3])
    assert next(running) == 0
    with ThreadPoolExecutor(1) as later:  # a worker's number of threads is nobody else's default
        assert later.submit(torch.get_num_threads).result() == usual_count
    assert torch.get_num_threads() == usual_count
    assert list(running) == [1, "4 unread: no such image.", 2, 3]
    assert len(work.thread_names) == 2
    assert not scoring_threads()


def test_a_large_image_has_the_calling_thread_to_itself(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_PIXELS", 8 * 8)

    class WhereItRuns(Numbers):
        def run(self, numbers, images):
            return [threading.current_thread() is threading.main_thread()]

    assert results(WhereItRuns(), range(4), batch_size=1, at_once=2) == [False, True, False, False]


def test_a_slow_image_holds_up_only_so_many_results():
    class SlowStart(Numbers):
        def __init__(self):
            super().__init__()
            self.has_run_40 = threading.Event()

        def load(self, number):
            return torch.zeros(3, 8, 8)

        def run(self, numbers, images):
            if numbers == [40]:
                self.has_run_40.set()
            return [self.has_run_40.wait(0.5) if numbers == [0] else True]

    assert results(SlowStart(), range(60), batch_size=1, at_once=2) == [False] + [True] * 59


class OneByOne(Numbers):
    """Fails if it works on two batches at once."""

    def __init__(self):
        super().__init__()
        self.busy = threading.Lock()

    def run(self, numbers, images):
        assert self.busy.acquire(blocking=False)
        time.sleep(0.05)
        self.busy.release()
        return numbers


def test_a_large_image_waits_for_those_before_it(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_PIXELS", 8 * 8)
    assert results(OneByOne(), [0, 1], batch_size=1, at_once=2) == [0, 1]


def test_images_that_need_more_memory_together_than_there_is_come_one_after_another(monkeypatch):
    monkeypatch.setattr(batches, "memory_limit", lambda: 1_000_000)
    numbers = [0, 2, 3, 6]  # 256 kB each, and half of the memory is for scoring
    assert results(OneByOne(), numbers, batch_size=1, at_once=3, bytes_per_pixel=4000) == numbers


def test_an_error_of_a_thread_is_the_callers():
    with pytest.raises(KeyError):
        results(Broken(), range(4), batch_size=1, at_once=2)
    assert not scoring_threads()


def test_how_many_images_are_scored_at_once(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for device, count, expected in [("cpu", 3, 3), ("cpu", 2, 1), ("cpu", None, 3), ("cuda", 9, 1)]:
        assert images_at_once(torch.device(device), count) == expected
