"""Packed weights: what takes them, what does not, and what they weigh. (What they give: test_public_parity.py.)"""

import pytest
import torch
from photos import photo_like
from tensors import Operations, grad_of

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
@pytest.mark.parametrize("way", ["gradient", "double backward", "float64"])
@pytest.mark.slow
def test_what_needs_a_derivative_another_dtype_or_a_trace_goes_the_plain_way(make, backbone, way):
    metric = make(backbone)
    x = photo_like(64, 64, dtype=torch.float64 if way == "float64" else torch.float32)
    before = grad_of(metric, x)
    with torch.no_grad():
        metric(x)  # from now on weights may be packed
    with Operations() as seen:
        if way == "float64":
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
        assert torch.equal(x.grad, before)
