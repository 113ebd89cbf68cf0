"""CLIP-IQA as a loss: direction, forms, the gradient computed while going forward and its pitfalls, bad input."""

from unittest import mock

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import grad_of
from torch import nn

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.clip import gradient as groups_module


@pytest.fixture(scope="module")
def options(seeded_weights):
    return {"clip_weights": str(seeded_weights("RN50")), "quick_gelu": True}


@pytest.fixture(scope="module")
def metric(options):
    return CLIPIQA(**options).eval()


@pytest.fixture
def loss(metric):
    return CLIPIQALoss(metric=metric)


@pytest.fixture
def backward():
    """Watches the gradients that are computed inside a forward pass: the images of each group."""
    original = torch.autograd.grad
    sizes = []

    def watch(outputs, inputs, *args, **options):
        sizes.append(len(inputs))
        return original(outputs, inputs, *args, **options)

    with mock.patch.object(torch.autograd, "grad", watch):
        yield sizes


def images(n=2, side=64, dtype=torch.float32):
    return photo_like(side, side, n, dtype).requires_grad_()


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


# Gradient


def test_the_gradient_of_a_batch_equals_that_of_single_images(loss, monkeypatch, backward):
    x = images(5, dtype=torch.float64)
    monkeypatch.setattr(groups_module, "CPU_GROUP_PIXELS", 2 * 64 * 64)
    batch = grad_of(loss, x)
    assert backward[:3] == [2, 2, 1]  # worked through in groups
    singles = torch.cat([grad_of(loss, image[None]) for image in x])
    torch.testing.assert_close(batch, singles / 5, rtol=1e-9, atol=1e-15)


# Pitfalls of computing a gradient inside a forward


def test_no_gradient_where_none_is_wanted(loss, backward):
    for context in [torch.no_grad, torch.inference_mode]:
        x = images()
        with context():
            value = loss(x)
        assert not value.requires_grad
        torch.testing.assert_close(value.clone(), loss(x.detach()))
        assert not backward  # nor for images that need none


def test_second_derivatives_are_refused_where_they_are_used(loss, metric):
    x = images(1)
    for function in (loss, metric):
        (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        refused(torch.autograd.grad, gradient.square().sum(), x)


@pytest.mark.slow
def test_compiled_with_a_network_it_equals_itself_uncompiled(loss):
    torch.manual_seed(0)
    net = nn.Conv2d(3, 3, 3, padding=1)
    x = images().detach()
    sharing = CLIPIQALoss(metric=loss.metric, share=0.3, beside="l1")
    for criterion in (loss, lambda restored: sharing(restored, x)):
        torch._dynamo.reset()
        step = torch.compile(lambda x, criterion=criterion: criterion(net(x).sigmoid()), backend="aot_eager")
        plain = torch.autograd.grad(criterion(net(x).sigmoid()), list(net.parameters()))
        for _ in range(2):  # the second call runs what the first compiled
            compiled = torch.autograd.grad(step(x), list(net.parameters()))
            torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-6)  # the compiler reorders the network


# Input


def test_what_moves_the_rest_of_a_model_leaves_it_as_it_is(loss):
    x = images()
    assert torch.equal(loss(x), loss.train().half()(x))
