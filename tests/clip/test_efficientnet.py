"""The EfficientNet-Lite image tower: exact against plain operations, forward and backward, whole and in strips."""

import pytest
import torch
from photos import photo_like
from safetensors.torch import load_file
from seeded import feature, local_statistics, statistics, taps
from tensors import Operations, assert_close, grad_of, normal

from clipiqa_pyiqa.clip import strips as strips_module
from clipiqa_pyiqa.loss import general_path
from clipiqa_pyiqa.weights.published import MINI_FILE

SIZES = [(32, 32), (96, 64), (63, 95), (70, 35)]
"""Height and width: the smallest, whole cells, one short of a cell, and neither."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tensors():
    return load_file(MINI_FILE)


def reference(tensors, x):
    """Unit features and the map of unit features, by plain operations."""
    maps = taps(tensors, (255 * x - 127) / 128)
    rows = (x.shape[2] + 1) // 2 // 16
    columns = (x.shape[3] + 1) // 2 // 16
    whole = statistics(maps)
    local = local_statistics(maps, rows, columns)
    return feature(tensors, whole), feature(tensors, local).permute(0, 3, 1, 2)


# Exactness


@pytest.mark.parametrize("size, strips", [*zip(SIZES, (False, False, True, True), strict=True)])
@pytest.mark.slow
def test_the_tower_equals_plain_operations(metric, tensors, monkeypatch, size, strips):
    """Features, map and the gradients of both, and of the map alone, in float64: to rounding."""
    if strips:  # as small as can be
        monkeypatch.setattr(strips_module, "CPU_STRIP_BYTES", 1)
    x = photo_like(*size, dtype=torch.float64).requires_grad_()
    net = metric.clip.image_tower(CPU, torch.float64)
    expected = reference(tensors, x)
    directions = [normal(part.shape, seed=1, dtype=x.dtype) for part in expected]
    with torch.no_grad():
        asked = ("image", "places"), ("image",), ("places",)
        found = [part for parts in asked for part in net.encode(x, "none", *parts)]
        for ours, theirs in zip(found, (*expected, *expected), strict=True):
            assert_close(ours, theirs, atol=1e-10)
        with Operations() as seen:
            found = metric.encode_image(x.float())  # from packed weights
        assert (len(seen.calls) > 500) == strips  # 293 for an image as a whole
        assert_close(found.double(), expected[0], atol=1e-5)

    def slope(parts):
        along = zip(parts, directions[-len(parts) :], strict=True)
        total = sum((part * direction).sum() for part, direction in along)
        return torch.autograd.grad(total, x, retain_graph=True)[0]

    for kinds in (("image", "places"), ("places",)):
        theirs = slope(expected[-len(kinds) :])
        for path in (torch.enable_grad, general_path):
            with path():
                ours = slope(net.encode(x, "none", *kinds))
            assert (ours - theirs).norm() < 1e-8 * theirs.norm()


# Invariants


@pytest.mark.quick
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_images_have_finite_features_and_gradients(metric, tensors, value):
    """No variance at all in the middle: equal to float64's, with a gradient."""
    x = torch.full((1, 3, 96, 96), value)
    with torch.no_grad():
        expected = reference(tensors, x.double())[0]
        assert_close(metric.encode_image(x).double(), expected, atol=1e-4)
    slope = grad_of(metric, x)
    assert slope.isfinite().all() and slope.norm() > 0
