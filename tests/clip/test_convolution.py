"""Packed weights: what takes them, what does not, and what they weigh."""

import gc

import pytest
import torch
from operations import Operations
from photos import photo_like
from torch import Tensor

from clipiqa_pyiqa.clip.convolution import Convolution
from clipiqa_pyiqa.loss import general_path

needs_onednn = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="this processor computes the plain way"
)
LAYERS = [(3, 32, 3, 2, 1, "relu"), (16, 16, 5, 1, 16, "relu6"), (32, 48, 1, 1, 1, "none"), (48, 32, 3, 1, 1, "relu")]
"""Channels in and out, kernel, stride, groups and activation."""


def layer(into, out, kernel, stride, groups, activation):
    generator = torch.Generator().manual_seed(into)
    weight = torch.randn(out, into // groups, kernel, kernel, generator=generator)
    return Convolution(weight, torch.randn(out, generator=generator), stride, groups, activation), weight


def packed(seen):
    """How many operations took packed weights."""
    return sum("pointwise" in name for name, _ in seen.calls)


@pytest.mark.parametrize("sizes", LAYERS, ids=str)
def test_the_packed_way_equals_the_plain_way_at_any_size_of_map(sizes):
    conv, weight = layer(*sizes)
    padding = (conv.kernel // 2,) * 2
    for side in (7, 16, 1, 7, 33):
        x = torch.randn(2, conv.in_channels, side, side + 1).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            found, expected = conv.convolve(x, padding), conv.convolve(x, padding, plain=True)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)  # sums of up to 432 products near 1
        assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(conv.weight, weight)  # the plain weight came back to the last bit


@pytest.mark.parametrize("side", [1, 7, 33])
def test_an_output_added_onto_a_map_equals_the_plain_way_and_overwrites_the_map(side):
    conv, _ = layer(32, 48, 1, 1, 1, "none")
    x, onto = (torch.randn(2, c, side, side + 1).contiguous(memory_format=torch.channels_last) for c in (32, 48))
    with torch.no_grad():
        expected = (conv.convolve(x, (0, 0), plain=True) + onto).relu()
        found = conv.convolve(x, (0, 0), onto=onto)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert torch.equal(found, onto)


@needs_onednn
@pytest.mark.parametrize("backbone", ["mini", "RN50"])
def test_weights_are_packed_once(make, backbone):
    metric, x = make(backbone), photo_like(96, 64)
    with torch.no_grad():
        metric(x)
        with Operations() as seen:
            metric(x)
    assert packed(seen) > 5 and not {"to_mkldnn", "mkldnn_reorder_conv2d_weight"} & dict(seen.calls).keys()


@pytest.mark.parametrize("backbone", ["mini", "RN50"])
@pytest.mark.parametrize("way", ["gradient", "double backward", "float64", "trace"])
def test_what_needs_a_derivative_another_dtype_or_a_trace_goes_the_plain_way(make, backbone, way):
    metric, x = make(backbone), photo_like(64, 64, dtype=torch.float64 if way == "float64" else torch.float32)
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


@needs_onednn
def test_a_tower_that_only_scores_holds_its_weights_once(make):
    def held():
        gc.collect()
        tensors = [each for each in gc.get_objects() if type(each) is Tensor]
        storages = {each.untyped_storage() for each in tensors if not each.is_mkldnn}
        dense = {storage.data_ptr(): storage.nbytes() for storage in storages}
        return sum(dense.values()) + sum(torch.ops.mkldnn._nbytes(each) for each in tensors if each.is_mkldnn)

    metric, x = make("RN50"), photo_like(64, 64)
    metric.encode_prompts()
    without = held()
    tower = metric.clip.image_tower(x.device, x.dtype)
    plain = held() - without
    with torch.no_grad():
        tower(x, "none")
    assert held() - without < 1.1 * plain
    tower(x.requires_grad_(), "none").sum().backward()
    assert held() - without > 1.2 * plain  # now both are held, and both were counted


@pytest.mark.parametrize(
    "name",
    [
        "_convolution_pointwise",
        "_convolution_pointwise_",
        "_linear_pointwise",
        "_reorder_linear_weight",
        "_get_mkldnn_serialized_md",
        "mkldnn_reorder_conv2d_weight",
        "_disable_current_modes",
    ],
)
def test_the_plain_way_stays_where_torch_lacks_a_private_name(name, forked_bare, tmp_path):
    code = f"""
import torch, torch.utils._python_dispatch as dispatch
class Others:
    def __init__(self, names):
        self.names = names
    def __getattr__(self, name):
        return getattr(self.names, "no_such_operation" if name == {name!r} else name)
torch.ops.mkldnn = Others(torch.ops.mkldnn)
for module in (torch._C._nn, dispatch):
    vars(module).pop({name!r}, None)
from clipiqa_pyiqa.clip.convolution import Convolution
point, square = (Convolution(torch.ones(4, 4, side, side), torch.zeros(4)) for side in (1, 3))
x = torch.ones(1, 4, 2, 2)
with torch.no_grad():
    print(*(int(y.sum()) for y in (point.convolve(x, (0, 0)), square.convolve(x, (1, 1)))))
    print(int(point.convolve(x, (0, 0), onto=torch.ones_like(x)).sum()))
"""
    done = forked_bare.run([], tmp_path, code=code)
    assert done.code == 0 and done.out.split() == ["64", "256", "80"], done.err
