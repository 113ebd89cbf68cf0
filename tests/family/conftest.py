"""Towers and stored vectors for tests of the family."""

import numpy as np
import pytest
import torch

from clipiqa_pyiqa.weights.finding import shapes_of


@pytest.fixture(scope="session")
def empty_tower(tmp_path_factory):
    """``empty_tower('ViT-L/14')`` -> a file of a few kB with that tower's shapes, all zeros."""

    def get(backbone):
        path = tmp_path_factory.mktemp("weights") / "zeros.pt"
        torch.save({name: torch.zeros(()).expand(shape) for name, shape in shapes_of(backbone).items()}, path)
        return path

    return get


@pytest.fixture
def vectors(shared):
    """``vectors('vit_l_14')`` -> ten genuine image features of CLIP, ``(10, D)`` float64, of unit length."""

    def get(kind):
        files = [shared / f"data/laion/{kind}_rating{number}.npy" for number in range(10)]
        return np.stack([np.load(file).reshape(-1) for file in files]).astype("float64")

    return get
