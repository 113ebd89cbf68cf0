"""Packed weights: what takes them, what does not, and what they weigh. (What they give: test_public_parity.py.)"""

import gc

import pytest
import torch
from photos import photo_like
from tensors import Operations, grad_of
from torch import Tensor

from clipiqa_pyiqa.loss import general_path

needs_onednn = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="this processor computes the plain way"
)


def packed(seen):
    """How many operations took packed weights."""
    return sum("pointwise" in name for name, _ in seen.calls)


@needs_onednn
@pytest.mark.parametrize("backbone, precision", [("mini", "fp32"), ("RN50", "fp32"), ("RN50", "bf16")])
@pytest.mark.slow
def test_weights_are_packed_once(make, backbone, precision):
    metric = make(backbone, precision=precision)
    x = photo_like(96, 64)
    with torch.no_grad():
        metric(x)
        with Operations() as seen:
            metric(x)
    assert packed(seen) > 5 and not {"to_mkldnn", "mkldnn_reorder_conv2d_weight"} & dict(seen.calls).keys()


@pytest.mark.parametrize("backbone", ["mini", "RN50", "ViT-B/32"])
@pytest.mark.parametrize("way", ["gradient", "double backward", "float64", "trace"])
@pytest.mark.slow
def test_what_needs_a_derivative_another_dtype_or_a_trace_goes_the_plain_way(make, backbone, way):
    metric = make(backbone)
    x = photo_like(64, 64, dtype=torch.float64 if way == "float64" else torch.float32)
    before = grad_of(metric, x)
    with torch.no_grad():
        metric(x)  # from now on weights may be packed
    with Operations() as seen:
        if way == "trace":
            torch.jit.trace(metric, x, check_trace=False)
        elif way == "float64":
            metric(x)
        elif way == "gradient":
            metric(x.requires_grad_()).sum().backward()
        else:
            with general_path():
                (slope,) = torch.autograd.grad(metric(x.requires_grad_()).sum(), x, create_graph=True)
                slope.square().sum().backward()
    assert packed(seen) == 0
    if x.requires_grad:
        assert x.grad.norm() > 0
    if way == "gradient":
        assert torch.equal(x.grad, before)  # the plain weight came back to the last bit


@needs_onednn
@pytest.mark.slow
def test_a_tower_that_only_scores_holds_its_weights_once(make):
    def held():
        gc.collect()
        tensors = [each for each in gc.get_objects() if type(each) is Tensor and each.is_cpu]
        storages = {each.untyped_storage() for each in tensors if not each.is_mkldnn}
        dense = {storage.data_ptr(): storage.nbytes() for storage in storages}
        return sum(dense.values()) + sum(torch.ops.mkldnn._nbytes(each) for each in tensors if each.is_mkldnn)

    metric = make("RN50")
    x = photo_like(64, 64)
    metric.encode_prompts()
    without = held()
    tower = metric.clip.image_tower(x.device, x.dtype)
    plain = held() - without
    with torch.no_grad():
        tower(x, "none")
    assert held() - without < 1.1 * plain
    tower(x.requires_grad_(), "none").sum().backward()
    assert held() - without > 1.2 * plain  # now both are held, and both were counted
