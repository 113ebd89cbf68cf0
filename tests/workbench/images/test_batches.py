"""Batches of images: which images share one, in which order results come, and what becomes of errors."""

import random
import threading

import pytest
import torch
from numbered import Broken, Numbers, results

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.workbench.images import batches
from clipiqa_pyiqa.workbench.images.batches import BatchWork

pytestmark = pytest.mark.quick


def test_order_sizes_and_images_that_cannot_be_read():
    work = Numbers()
    assert results(work, range(10), workers=3, batch_size=3) == [0, 1, 2, 3, "4 unread: no such image.", 5, 6, 7, 8, 9]
    assert sorted(work.batches) == [[0, 2, 3], [1, 5, 8], [6, 7, 9]]


def test_a_batch_holds_neighbours_of_equal_key_only():
    class Fives(Numbers):
        def block_of(self, number):
            return number // 5

    work = Fives()
    results(work, range(10), batch_size=8)
    assert sorted(work.batches) == [[0, 2, 3], [1], [5, 8], [6, 7, 9]]


def test_a_batch_that_is_refused_is_tried_one_by_one():
    class WithoutTwo(Numbers):
        def run(self, numbers, images):
            numbers_in_pixels = super().run(numbers, images)
            if 2 in numbers:
                raise ImageError("not this one.")
            return numbers_in_pixels

    work = WithoutTwo()
    assert results(work, range(4), batch_size=3) == [0, 1, "2 read: not this one.", 3]
    assert work.batches == [[0, 2, 3], [0], [2], [3], [1]]


def test_a_batch_without_memory_is_tried_one_by_one_and_later_batches_are_smaller():
    class OfFive(Numbers):
        def load(self, number):
            return torch.zeros(3, 8, 8)

        def run(self, numbers, images):
            self.batches.append(numbers)
            if len(numbers) > 5:
                raise MemoryError
            return numbers

    work = OfFive()
    assert results(work, range(32)) == [*range(32)]
    sizes = [len(batch) for batch in work.batches]
    assert sizes == [8] + [1] * 8 + [4] * 6  # once is enough to learn from


def test_an_image_without_memory_alone_is_told():
    class WithoutMemory(Numbers):
        def run(self, numbers, images):
            raise MemoryError

    (text,) = results(WithoutMemory(), [0])
    assert text.startswith("0 read: it does not fit in memory: have large images shrunk")


def test_views_of_an_image_are_worked_on_in_its_place():
    class LeftAndRight(Numbers):
        def views(self, number, image):
            yield f"left of {number}", image[:, :, :4]
            yield f"right of {number}", image[:, :, 4:]

        def run(self, names, images):
            self.batches.append(names)
            return [(name, image.shape[2]) for name, image in zip(names, images, strict=True)]

    work = LeftAndRight()
    assert results(work, [0, 4, 1], batch_size=3) == [
        ("left of 0", 4),
        ("right of 0", 4),
        "4 unread: no such image.",
        ("left of 1", 4),
        ("right of 1", 5),
    ]
    assert work.batches == [["left of 0", "right of 0", "left of 1"], ["right of 1"]]


class Drawn(BatchWork):
    """Images of drawn sizes, of which some cannot be read, some are refused, and some do not fit in a batch."""

    def __init__(self, seed):
        draw = random.Random(seed)
        sides = draw.choice([[8], [8, 9], range(8, 40)])
        count = draw.choice([1, 7, 60, 200])
        self.sizes = [(draw.choice(sides), draw.choice(sides)) for _ in range(count)]
        self.unreadable = {number for number in range(count) if draw.random() < 0.05}
        self.refused = {number for number in range(count) if draw.random() < 0.05}
        self.most_pixels = draw.choice([1_000_000, 900])
        self.block_size = draw.choice([5, 64, 1000])
        self.tried = []

    def load(self, number):
        if number in self.unreadable:
            raise ImageError("unreadable")
        return torch.zeros(3, *self.sizes[number])

    def run(self, numbers, images):
        self.tried.append(numbers)
        if sum(image[0].numel() for image in images) > self.most_pixels:
            raise MemoryError
        if self.refused.intersection(numbers):
            raise ImageError("refused")
        return numbers

    def failed(self, number, image, error):
        return number, str(error).split(":")[0]

    def block_of(self, number):
        return number // self.block_size

    def expected(self, number):
        height, width = self.sizes[number]
        if number in self.unreadable:
            return number, "unreadable"
        if height * width > self.most_pixels:
            return number, "it does not fit in memory"
        if number in self.refused:
            return number, "refused"
        return number


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("at_once", [1, 2])
def test_every_image_has_its_result_in_order_and_its_batch_has_equal_sizes_of_a_block(batch_size, at_once, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_PIXELS", 500)
    monkeypatch.setattr(batches, "WAITING_PIXELS", 3000)
    for seed in range(30):
        work = Drawn(seed)
        count = len(work.sizes)
        assert results(work, range(count), workers=2, batch_size=batch_size, at_once=at_once) == [
            work.expected(number) for number in range(count)
        ]
        for numbers in work.tried:
            assert len(numbers) <= batch_size
            assert len({work.sizes[number] for number in numbers}) == 1
            if batch_size > 1:
                assert len({work.block_of(number) for number in numbers}) == 1


def test_images_of_other_sizes_wait_only_so_long():
    """One image of its own size does not hold up more results than 8 batches have."""

    class Odd(Numbers):
        def load(self, number):
            return torch.zeros(3, 8, 9 if number == 0 else 8)

        def run(self, numbers, images):
            self.batches.append(numbers)
            return numbers

    work = Odd()
    results(work, range(100), batch_size=2)
    place = work.batches.index([0])
    assert sum(len(numbers) for numbers in work.batches[:place]) == batches.WAIT * 2


def test_decoded_images_that_wait_take_only_so_much_memory(monkeypatch):
    monkeypatch.setattr(batches, "WAITING_PIXELS", 300)

    class OfGrowingWidth(Numbers):
        def __init__(self):
            super().__init__()
            self.waiting_pixels = 0
            self.most_pixels = 0

        def load(self, number):
            return torch.zeros(3, 8, 8 + number)

        def views(self, number, image):
            self.waiting_pixels += 8 * image.shape[2]
            self.most_pixels = max(self.most_pixels, self.waiting_pixels)
            yield number, image

        def run(self, numbers, images):
            self.waiting_pixels -= sum(8 * image.shape[2] for image in images)
            return numbers

    work = OfGrowingWidth()
    assert results(work, range(20), batch_size=8) == [*range(20)]
    last_width = 8 + 19
    assert 300 < work.most_pixels <= 300 + 8 * last_width


def test_whoever_ends_early_ends_what_it_reads_from():
    ending_threads = []

    def numbers():
        try:
            yield from range(10)
        finally:
            ending_threads.append(threading.current_thread())

    source = numbers()  # that nobody lets go of
    with pytest.raises(KeyError):
        results(Broken(), source, workers=1, batch_size=1)
    assert ending_threads == [threading.main_thread()]
