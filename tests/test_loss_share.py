"""CLIPIQALoss(share=…): the weight follows from the gradients of the pixel loss and of CLIP-IQA."""

import inspect
from functools import partial

import pytest
import torch
from photos import photo_like
from tensors import normal
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQALoss
from clipiqa_pyiqa.gradient_share import SMOOTHING


@pytest.fixture
def sharing(metric):
    return partial(CLIPIQALoss, share=0.3, beside="l1", metric=metric)


@pytest.fixture
def criterion(sharing):
    return sharing()


def images(dtype=torch.float32, n=2):
    return photo_like(64, 48, n, dtype).requires_grad_()


def clean(x, distance=0.05):
    return x.detach() + distance * normal(x.shape).to(x.dtype)


def grad_of(loss, x):
    return torch.autograd.grad(loss, x)[0]


def share_of(criterion, x, target, pixel=F.l1_loss):
    """The gradient of the loss as a share of the pixel loss's, both by their definition in float64."""
    own, other = (grad_of(function(x, target).mean(), x).double().norm() for function in (criterion, pixel))
    return (own / other).item()


@pytest.mark.slow
def test_norms_are_smoothed_over_steps_and_the_share_is_never_exceeded(sharing):
    criterion = sharing(beside="mse")
    x = images(n=1)
    near = clean(x, 0.02)
    far = clean(x, 0.08)
    assert share_of(criterion, x, near, F.mse_loss) == pytest.approx(0.3, rel=1e-4)
    first = criterion.last_weight
    lower = share_of(criterion, x, far, F.mse_loss)  # the pixel loss's gradient is four times as large now
    assert criterion.last_weight == pytest.approx(first * (SMOOTHING + 4 * (1 - SMOOTHING)), rel=1e-3)
    assert lower < 0.15
    assert share_of(criterion, x, near, F.mse_loss) == pytest.approx(0.3, rel=1e-4)  # smoothed, it would be more
    for _ in range(80):
        criterion(x, far)
    assert share_of(criterion, x, far, F.mse_loss) == pytest.approx(0.3, rel=1e-3)


def test_warnings_point_to_the_line_that_calls_the_loss(metric):
    """Also where torch.compile has been imported, whose frames lie between."""
    import torch._dynamo  # noqa: F401

    for factor in (1, 3):  # without a gradient, and out of range
        criterion = CLIPIQALoss(metric=metric, share=0.3, beside="l1")
        with pytest.warns(UserWarning) as caught:
            criterion(factor * images().detach())
        assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(UserWarning) as caught:
        line = inspect.currentframe().f_lineno + 1
        CLIPIQALoss(metric=metric, share=30, beside="l1")
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]
