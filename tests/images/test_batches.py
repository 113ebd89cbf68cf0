"""The one path: what is read ahead, what shares a batch, and what becomes of errors; on bare tensors."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images.batches import in_batches, prefetch, stacked
from clipiqa_pyiqa.images.reader import read_image

pytestmark = pytest.mark.quick

PHOTO = Path(__file__).parents[1] / "data/canyon-wren.jpg"
SIDES = [8, 9, 8, 8, 9, 9, 8, 8, 9, 8]


def read(number: int) -> Tensor:
    if number == 4:
        raise ImageError("no such image.")
    return torch.full((3, 8, SIDES[number]), number, dtype=torch.uint8)


def failed(number: int, image: Tensor | None, error: ImageError) -> str:
    return f"{number} {'read' if image is not None else 'unread'}: {error}"


class Work:
    """Returns the numbers in the pixels; refuses one of them."""

    def __init__(self, refused: int | None = None) -> None:
        self.refused = refused
        self.batches: list[list[int]] = []

    def __call__(self, numbers: list[int], images: Sequence[Tensor]) -> list[int]:
        self.batches.append(numbers)
        if self.refused in numbers:
            raise ImageError("not this one.")
        return [int(value) for value in stacked(images, "cpu").mul(255).round()[:, 0, 0, 0]]


def test_order_sizes_and_images_that_cannot_be_read() -> None:
    work = Work()
    results = list(in_batches(prefetch(read, range(10), workers=3), work, failed, batch_size=3))
    assert results == [0, 1, 2, 3, "4 unread: no such image.", 5, 6, 7, 8, 9]
    assert sorted(work.batches) == [[0, 2, 3], [1, 5, 8], [6, 7, 9]]


def test_a_batch_holds_neighbours_of_equal_key_only() -> None:
    work = Work()
    list(in_batches(prefetch(read, range(10)), work, failed, batch_size=8, apart=lambda number: number // 5))
    assert sorted(work.batches) == [[0, 2, 3], [1], [5, 8], [6, 7, 9]]


def test_a_batch_that_is_refused_is_tried_one_by_one() -> None:
    work = Work(refused=2)
    results = list(in_batches(prefetch(read, range(4)), work, failed, batch_size=3))
    assert results == [0, 1, "2 read: not this one.", 3]
    assert work.batches == [[0, 2, 3], [0], [2], [3], [1]]


def test_whoever_ends_early_ends_what_it_reads_from() -> None:
    ended = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            ended.append(threading.current_thread())

    def broken(_: object, images: Sequence[Tensor]) -> list[int]:
        raise KeyError

    source = numbers()  # that nobody lets go of
    with pytest.raises(KeyError):
        list(in_batches(prefetch(read, source, workers=1), broken, failed, batch_size=1))
    assert ended == [threading.main_thread()]


def test_what_is_hashed_is_what_is_decoded() -> None:
    class Changing:
        """Other bytes at each reading."""

        name, reads = "changing", 0

        def read(self) -> bytes:
            self.reads += 1
            return PHOTO.read_bytes() + bytes(self.reads)

    source = Changing()
    record = read_image(source, sha256=True)
    assert source.reads == 1 and record.path == "changing"
    assert record.sha256 == hashlib.sha256(PHOTO.read_bytes() + bytes(1)).hexdigest()
    assert torch.equal(record.pixels, read_image(PHOTO).pixels) and read_image(PHOTO).sha256 == ""
