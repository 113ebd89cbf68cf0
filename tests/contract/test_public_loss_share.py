"""CLIPIQALoss(share=…): the weight follows from the gradients of the pixel loss and of CLIP-IQA."""

import copy
import math
import pickle
import warnings
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import normal
from torch import nn
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQALoss

PIXEL = {"l1": F.l1_loss, "mse": F.mse_loss}


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


def test_the_gradient_is_that_share_of_the_pixel_losss(sharing):
    for beside in [*PIXEL, lambda x, y: ((x - y).square() + 1e-6).sqrt().mean()]:
        for options in [
            {},
            {"form": "nll"},
            {"local": True},
            {"reduction": "sum"},
            {"reduction": "none"},
            {"input_range": (-1, 1)},
            {"double_backward": True},
            {"nan": "propagate"},
        ]:
            criterion = sharing(beside=beside, **options)
            x = images()
            assert share_of(criterion, x, clean(x), PIXEL.get(beside, beside)) == pytest.approx(0.3, rel=1e-4)


def test_the_loss_is_that_of_the_weight_which_it_reports(metric, criterion):
    x = images()
    loss = criterion(x, clean(x))
    torch.testing.assert_close(loss, CLIPIQALoss(loss_weight=criterion.last_weight, metric=metric)(x))
    assert CLIPIQALoss(loss_weight=0.1, metric=metric).last_weight == 0.1


@pytest.mark.slow
def test_other_precisions_get_the_weight_of_fp32(sharing):
    """A mean over these pixels has gradients around 1e-7, where fp16 keeps one bit: norms are taken in fp32."""
    for dtype in [torch.float16, torch.bfloat16, torch.float64]:
        photos = photo_like(224, 224, 1 if dtype == torch.float64 else 8).to(dtype)
        found = []
        for x in (photos.clone().requires_grad_(), photos.float().requires_grad_()):
            target = photos.flip(-1).to(x.dtype)
            criterion = sharing(share=0.01, beside="mse")
            loss = criterion(x, target)
            found.append(criterion.last_weight)
            assert grad_of(65536 * loss, x).dtype == x.dtype  # what a GradScaler does
        assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_autocast_changes_nothing(sharing):
    x = images()
    found = []
    for enabled in (False, True):
        criterion = sharing(beside=lambda x, y: F.conv2d(x - y, torch.ones(1, 3, 3, 3)).abs().mean())
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append((criterion(x, clean(x)), criterion.last_weight))
    assert found[0] == found[1]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_weight_is_the_last_one(metric, criterion, context):
    x = images()
    with context():
        assert criterion(x).item() == 0
    criterion(x, clean(x))
    weight = criterion.last_weight
    with context():
        value = criterion(images().flip(-1)).item()  # validation has no target here
    assert criterion.last_weight == weight
    assert value == pytest.approx(weight * CLIPIQALoss(metric=metric)(images().flip(-1)).item())


def test_a_batch_without_usable_gradients_leaves_the_weight(sharing):
    criterion = sharing(beside="mse", nan="propagate")
    x = images()
    black = torch.full_like(x, -0.1).requires_grad_()
    broken = x.detach().clone()
    broken[0, 0, 0, 0] = math.nan
    assert criterion(black, clean(x)).item() == 0  # every pixel is clamped
    criterion(x, clean(x))
    weight = criterion.last_weight
    for pred, target in ((black, clean(x)), (broken.requires_grad_(), clean(x)), (x, clean(broken))):
        loss = criterion(pred, target)
        assert criterion.last_weight == weight and loss.isnan() == pred.isnan().any()


def test_a_perfect_prediction_gets_no_pull(criterion):
    x = images()
    assert grad_of(criterion(x, x.detach()), x).norm() == 0


def test_hooks_of_the_prediction_see_one_gradient(criterion):
    x = images()
    calls = []
    restored = 0.9 * x
    restored.register_hook(calls.append)  # wrappers such as FSDP hang theirs there
    (F.l1_loss(restored, clean(x)) + criterion(restored, clean(x))).backward()
    assert len(calls) == 1 and x.grad.isfinite().all()


def test_accumulated_parts_step_like_their_sum(sharing):
    """Each part is a step of the smoothing; equal parts have the weight of the first."""
    net = nn.Conv2d(3, 3, 1)
    gradients = []
    for parts in (1, 3):
        criterion = sharing()
        x = images().detach()
        net.zero_grad()
        for _ in range(parts):
            restored = net(x).sigmoid()
            ((F.l1_loss(restored, clean(x)) + criterion(restored, clean(x))) / parts).backward()
        gradients.append(net.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_copies_keep_the_weight(criterion):
    x = images()
    criterion(x, clean(x))
    for other in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert other.last_weight == criterion.last_weight and not other.state_dict()


def test_a_pixel_loss_with_weights_is_not_registered_and_follows_the_images(sharing):
    assert not sharing(beside=nn.Bilinear(1, 1, 1)).state_dict()
    beside = Mock(nn.Module, side_effect=F.l1_loss)
    sharing(beside=beside)(images(), clean(images()))
    beside.to.assert_called_once_with(torch.device("cpu"))


def test_a_target_or_a_pixel_loss_that_does_not_fit_is_refused(metric, criterion, sharing):
    for target in (None, torch.rand(2, 3, 64, 64), 0.5, images()):
        refused(criterion, images(), target)
    refused(CLIPIQALoss(metric=metric), clean(images()), images())  # swapped
    for beside in (lambda x, y: 0.5, torch.sub, nn.L1Loss, lambda x, y: (F.l1_loss(x, y), None)):
        refused(sharing(beside=beside), images(), clean(images()))


def test_a_target_in_another_range_than_the_prediction_is_refused(criterion, sharing):
    """The pixel loss would be too large, and the weight with it."""
    eight_bit = 255 * clean(images()).clamp(0, 1)
    assert "clean.float() / 255" in refused(criterion, images(), eight_bit.to(torch.uint8))
    assert "must be in [0, 1]" in refused(criterion, images(), eight_bit)
    assert "must be in [0, 1]" in refused(criterion, images(), 2 * clean(images()) - 1)
    assert sharing(input_range=(-1, 1))(images(), 2 * clean(images()) - 1).isfinite()


def test_a_prediction_without_a_gradient_warns_once_and_never_in_validation(criterion):
    x = images().detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                criterion(x, x)
        criterion(images(), clean(x))
    with pytest.warns(UserWarning, match="has no gradient, so the loss trains nothing"):
        criterion(x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion(x, x)


def test_the_unit_of_a_share_is_said(sharing):
    with pytest.warns(UserWarning, match="30 times as large as the pixel loss's; for 30 %, write share=0.3"):
        sharing(share=30)
    assert "a fraction above 0 such as 0.3 for 30 %" in refused(sharing, share=-1)


def test_repr_has_the_share_or_the_weight(metric, sharing):
    assert "share=0.3, beside='l1'," in repr(sharing()) and "loss_weight" not in repr(sharing())
    assert "beside=L1Loss()," in repr(sharing(beside=nn.L1Loss()))
    weighted = repr(CLIPIQALoss(metric=metric, loss_weight=0.1))
    assert "loss_weight=0.1," in weighted and "share" not in weighted


@pytest.mark.parametrize("beside", ["l1", "mse"])
def test_clean_images_with_nan_are_refused_rather_than_leave_the_loss_without_weight(beside):
    pred = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    clean = pred.detach() * 0.9
    clean[0, 0, 0, 0] = torch.nan
    refused(CLIPIQALoss(backbone="mini", share=0.3, beside=beside), pred, clean)
    refused(CLIPIQALoss(backbone="mini", share=0.3, beside=beside), pred, torch.full_like(pred, torch.nan))
    kept = CLIPIQALoss(backbone="mini", share=0.3, beside=beside, nan="propagate")
    kept(pred, pred.detach() * 0.9)
    before = kept.last_weight
    kept(pred, clean)
    assert kept.last_weight == before > 0
