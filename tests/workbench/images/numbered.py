"""Work of a batch loop on numbered images, for tests."""

import torch

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.workbench.images.batches import BatchLoop, BatchWork, Limits
from clipiqa_pyiqa.workbench.images.stacking import stacked

SIDES = [8, 9, 8, 8, 9, 9, 8, 8, 9, 8]


class Numbers(BatchWork):
    """Returns the numbers that the pixels hold; number 4 cannot be read."""

    def __init__(self):
        self.batches = []

    def load(self, number):
        if number == 4:
            raise ImageError("no such image.")
        return torch.full((3, 8, SIDES[number]), number, dtype=torch.uint8)

    def run(self, numbers, images):
        self.batches.append(numbers)
        first_pixels = stacked(images, torch.device("cpu"))[:, 0, 0, 0]
        return first_pixels.mul(255).round().int().tolist()

    def failed(self, number, image, error):
        return f"{number} {'unread' if image is None else 'read'}: {error}"


def results(work, numbers, **limits):
    """Return what a loop yields of numbers."""
    return list(BatchLoop(work, Limits(**limits)).results(numbers))


class Broken(Numbers):
    def run(self, numbers, images):
        raise KeyError
