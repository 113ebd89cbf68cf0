"""The one path: what is read ahead, what shares a batch, and what becomes of errors; on bare tensors."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from unittest import mock

import pytest
import torch

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.images import batches
from clipiqa_pyiqa.images.batches import images_at_once, processed, stacked

pytestmark = pytest.mark.quick

SIDES = [8, 9, 8, 8, 9, 9, 8, 8, 9, 8]


def read(number):
    if number == 4:
        raise ImageError("no such image.")
    return torch.full((3, 8, SIDES[number]), number, dtype=torch.uint8)


def failed(number, image, error):
    return f"{number} {'read' if image is not None else 'unread'}: {error}"


class Work:
    """Returns the numbers in the pixels; refuses one of them."""

    def __init__(self, refused=None):
        self.refused = refused
        self.batches = []

    def __call__(self, numbers, images):
        self.batches.append(numbers)
        if self.refused in numbers:
            raise ImageError("not this one.")
        return [int(value) for value in stacked(images, torch.device("cpu")).mul(255).round()[:, 0, 0, 0]]


def test_order_sizes_and_images_that_cannot_be_read():
    work = Work()
    results = list(processed(range(10), read, work, failed, workers=3, batch_size=3))
    assert results == [0, 1, 2, 3, "4 unread: no such image.", 5, 6, 7, 8, 9]
    assert sorted(work.batches) == [[0, 2, 3], [1, 5, 8], [6, 7, 9]]


def test_a_batch_holds_neighbours_of_equal_key_only():
    work = Work()
    list(processed(range(10), read, work, failed, batch_size=8, block_of=lambda number: number // 5))
    assert sorted(work.batches) == [[0, 2, 3], [1], [5, 8], [6, 7, 9]]


def test_a_batch_that_is_refused_is_tried_one_by_one():
    work = Work(refused=2)
    results = list(processed(range(4), read, work, failed, batch_size=3))
    assert results == [0, 1, "2 read: not this one.", 3]
    assert work.batches == [[0, 2, 3], [0], [2], [3], [1]]


def test_a_batch_without_memory_is_tried_one_by_one_and_later_batches_are_smaller():
    sizes = []

    def work(numbers, images):
        sizes.append(len(numbers))
        if len(numbers) > 5:
            raise MemoryError
        return numbers

    assert list(processed(range(32), lambda number: torch.zeros(3, 8, 8), work, failed)) == [*range(32)]
    assert sizes == [8] + [1] * 8 + [4] * 6  # once is enough to learn from


def test_whoever_ends_early_ends_what_it_reads_from():
    ended = []

    def numbers():
        try:
            yield from range(10)
        finally:
            ended.append(threading.current_thread())

    broken = mock.Mock(side_effect=KeyError)
    source = numbers()  # that nobody lets go of
    with pytest.raises(KeyError):
        list(processed(source, read, broken, failed, workers=1, batch_size=1))
    assert ended == [threading.main_thread()]


def test_images_at_once_come_in_order_each_on_a_thread_with_one_thread_of_torch():
    both, names, threads = threading.Barrier(2), set(), torch.get_num_threads()
    question = ContextVar("question")
    question.set("asked")

    def work(numbers, images):
        both.wait(10)  # passes only while two are at work
        assert torch.get_num_threads() == 1 and question.get() == "asked"
        names.add(threading.current_thread().name)
        return [int(image[0, 0, 0]) for image in images]

    results = processed([0, 1, 4, 2, 3], read, work, failed, batch_size=1, at_once=2, scoring=1)
    assert next(results) == 0
    with ThreadPoolExecutor(1) as later:  # a worker's number of threads is nobody else's default
        assert later.submit(torch.get_num_threads).result() == torch.get_num_threads() == threads
    assert list(results) == [1, "4 unread: no such image.", 2, 3]
    assert len(names) == 2 and not any(each.name in names for each in threading.enumerate())


def test_a_large_image_has_the_calling_thread_to_itself(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_PIXELS", 8 * 8)
    seen = {}

    def work(numbers, images):
        seen[numbers[0]] = threading.current_thread() is threading.main_thread()
        return numbers

    assert list(processed(range(4), read, work, failed, batch_size=1, at_once=2)) == [0, 1, 2, 3]
    assert seen == {0: False, 1: True, 2: False, 3: False}


def test_images_that_need_more_memory_together_than_there_is_come_one_after_another(monkeypatch):
    busy = threading.Lock()

    def work(numbers, images):
        assert busy.acquire(blocking=False)
        time.sleep(0.01)
        busy.release()
        return numbers

    monkeypatch.setattr(batches, "memory_limit", lambda: 1_000_000)
    results = processed([0, 2, 3, 6], read, work, failed, batch_size=1, at_once=3, scoring=4000)
    assert list(results) == [0, 2, 3, 6]  # 256 kB each, and half of the memory is for scoring


def test_an_error_of_a_thread_is_the_callers():
    work = mock.Mock(side_effect=[[0], KeyError, [2], [3]])
    with pytest.raises(KeyError):
        list(processed(range(4), read, work, failed, batch_size=1, at_once=2))
    assert not [each for each in threading.enumerate() if each.name.startswith("clipiqa-")]


def test_how_many_images_are_scored_at_once(monkeypatch):
    for device, count, expected in [("cpu", 3, 3), ("cpu", 2, 1), ("cpu", None, 3), ("cuda", 9, 1)]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        assert images_at_once(torch.device(device), count) == expected
