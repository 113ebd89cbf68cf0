"""CLIP-IQA as a loss: direction, forms, the gradient computed while going forward and its pitfalls, bad input."""

import math

import pyiqa
import pytest
import torch
from assertions import refused
from photos import photo_like
from plain_metrics import learned
from tensors import grad_of, normal, uniform
from torch import nn
from torch.utils.checkpoint import checkpoint

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.family import MACLIP
from clipiqa_pyiqa.loss import FORMS, general_path

TWO = ["quality", ("Crisp photo.", "Hazy photo.")]


@pytest.fixture(scope="module")
def options(seeded_weights):
    return {"clip_weights": str(seeded_weights("RN50")), "quick_gelu": True}


@pytest.fixture(scope="module")
def metric(options):
    return CLIPIQA(**options).eval()


@pytest.fixture
def loss(metric):
    return CLIPIQALoss(metric=metric)


def images(n=2, side=64, dtype=torch.float32):
    return photo_like(side, side, n, dtype).requires_grad_()


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_reductions_and_weights_equal_their_definitions(metric, options):
    x = images(3, dtype=torch.float64).detach()
    each = (1 - metric(x, TWO, None)) @ x.new_tensor([0.75, 0.25])
    for reduction, expected in {"none": each, "mean": each.mean(), "sum": each.sum()}.items():
        criterion = CLIPIQALoss(prompts=TWO, prompt_weights=[3, 1], reduction=reduction, loss_weight=0.1, **options)
        torch.testing.assert_close(criterion(x), 0.1 * expected)


def test_as_loss_keeps_pyiqas_contract(options, metric):
    x = images()
    score = pyiqa.create_metric("clipiqa", as_loss=True, device="cpu", **options)
    assert score(x).shape == () and torch.equal(score(x), metric(x).mean())
    torch.testing.assert_close(grad_of(score, x), -grad_of(CLIPIQALoss(metric=metric), x))


def test_learned_prompts_get_no_gradient(options):
    plus = learned(options["clip_weights"]).train()
    criterion = CLIPIQALoss(metric=plus)
    x = images()
    torch.testing.assert_close(criterion(x), 1 - plus(x).mean())
    criterion(x).backward()
    assert x.grad.norm() > 0
    assert all(parameter.grad is None for parameter in plus.parameters())  # it is a loss: prompts stay
    assert not list(criterion.parameters()) and not criterion.state_dict()


def test_prompts_learn_alike_in_both_modes_when_images_have_a_gradient(options):
    plus = learned(options["clip_weights"])
    found = []
    for training in (True, False):
        x = images()
        ctx = plus.prompt_learner.ctx
        found.append(torch.autograd.grad(plus.train(training)(x).sum(), (x, ctx)))
    with general_path():
        found.append(torch.autograd.grad(plus(x).sum(), (x, ctx)))
    for ours in found[:2]:  # fp32, another order of sums
        assert distance(ours[0], found[2][0]) < 1e-5 and distance(ours[1], found[2][1]) < 1e-5


def test_saturated_scores_have_a_gradient(metric, monkeypatch):
    """CLIP's scale raised until the score is 0 or 1 to fp32."""
    for sign in [1, -1]:
        x = images(1)
        features = metric.encode_image(x.detach())
        pair = metric.encode_prompts()[0]
        scale = 40 / (features @ (pair[0] - pair[1])).item()
        monkeypatch.setattr(metric.clip, "logit_scale", sign * scale)
        score = metric(x)
        assert score.item() == pytest.approx(float(sign > 0), abs=1e-15)
        for function in (metric, *(CLIPIQALoss(metric=metric, form=form) for form in FORMS)):
            gradient = grad_of(function, x)
            assert gradient.isfinite().all() and gradient.norm() > 0


def test_half_precision_input_keeps_its_gradient_in_fp32(metric):
    for dtype in [torch.float16, torch.bfloat16]:
        x = images().detach().to(dtype)
        expected = grad_of(metric, x.float())
        (scaled,) = torch.autograd.grad(metric(x.requires_grad_()).sum() * 65536, x)  # what a GradScaler does
        assert scaled.dtype == dtype
        assert distance(scaled.float() / 65536, expected) < 1e-2  # a half's rounding: 8 bits in bf16


def test_a_small_gradient_survives_low_precision(options, metric):
    """The inner backward has a scale of its own, without which a nearly saturated score's slope would be 0."""
    for precision in ["bf16", "fp16"]:
        low = CLIPIQA(precision=precision, **options)
        x = images(1, 96)
        found, exact = (grad_of(lambda x, net=net: 1e-6 * net.encode_image(x)[:, :8], x) for net in (low, metric))
        assert (found == 0).double().mean() < 0.01
        assert nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.9


def test_double_backward_gives_second_derivatives(metric):
    criterion = CLIPIQALoss(metric=metric, double_backward=True)
    x = images(1, 48, torch.float64)
    direction = normal(x.shape, seed=1, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(criterion(x), x, create_graph=True)
    (product,) = torch.autograd.grad((gradient * direction).sum(), x)
    expected = (product * direction).sum().item()
    errors = []
    for step in (1e-7, 1e-8, 1e-9):  # a ReLU that flips within a step spoils its difference, hardly those of all
        ahead, behind = (grad_of(criterion, x + sign * step * direction) for sign in (1, -1))
        difference = ((ahead - behind) * direction).sum().item() / (2 * step)
        errors.append(abs(difference / expected - 1))
    assert min(errors) < 1e-2, errors


def test_activation_checkpointing_repeats_the_random_crop(metric):
    criterion = CLIPIQALoss(metric=metric, crop=40)
    x = images()
    torch.manual_seed(3)
    expected = grad_of(criterion, x)
    torch.manual_seed(3)
    assert torch.equal(grad_of(lambda x: checkpoint(criterion, x, use_reentrant=False), x), expected)


def test_accumulation_and_retain_graph(loss):
    x = images()
    value = loss(x)
    value.backward(retain_graph=True)
    once = x.grad.clone()
    x.grad.mul_(7)  # clipping works in place, and must not reach what is kept
    (3 * value).backward()
    torch.testing.assert_close(x.grad, 10 * once)


def test_every_input_range_gives_the_same_loss(metric):
    x = images().detach()
    expected = CLIPIQALoss(metric=metric)(x)
    for low, high in ((-1, 1), (0, 255)):
        criterion = CLIPIQALoss(metric=metric, input_range=(low, high))
        torch.testing.assert_close(criterion(low + (high - low) * x), expected)


def test_values_out_of_range_are_clamped(metric):
    x = 2 * images().detach() - 0.5
    outside = (x < 0) | (x > 1)
    clamped = CLIPIQALoss(metric=metric)
    assert torch.equal(clamped(x), clamped(x.clamp(0, 1)))
    gradient = grad_of(clamped, x)
    assert (gradient[outside] == 0).all() and (gradient[~outside] != 0).double().mean() > 0.9


def test_limits_are_inside_the_range(metric):
    """Black and white pixels have their neighbours' gradient, whatever the release's own clamp makes of them."""
    x = images().detach().round()
    assert distance(grad_of(CLIPIQALoss(metric=metric), x), -grad_of(metric, x) / len(x)) < 1e-5


def test_each_image_gets_a_crop_of_its_own(metric):
    x = images(3, 96)
    criterion = CLIPIQALoss(metric=metric, crop=40)
    torch.manual_seed(0)
    gradient = grad_of(criterion, x)
    boxes = [(g.abs().sum(0) > 0).nonzero() for g in gradient]
    corners = {tuple(box.amin(0).tolist()) for box in boxes}
    assert all((box.amax(0) - box.amin(0) < 40).all() and len(box) > 1000 for box in boxes)
    assert len(corners) == 3  # each image has a place of its own
    small = images(1, 64)
    assert torch.equal(CLIPIQALoss(metric=metric, crop=100)(small), CLIPIQALoss(metric=metric)(small))


@pytest.mark.slow
def test_propagated_nan_is_all_of_an_images_loss_and_gradient(metric):
    for how in [
        *({"form": form} for form in FORMS),
        *({"local": True}, {"double_backward": True}, {"crop": 40}, {"input_range": (-1, 2)}, {"criterion": True}),
    ]:
        options = {"metric": metric, **how}
        good = images(3).detach()
        if "criterion" in how:
            options = {"criterion": MACLIP("maclip", backbone="mini").eval()}
            good = images(3, 224).detach()
        found = []
        for value, *where in ((0,), (math.nan,), (math.inf, 0, slice(9)), (-math.inf, 0, 5, 5)):
            batch = good.clone()
            if value:
                batch[1, *where] = value
            torch.manual_seed(0)
            losses = CLIPIQALoss(**options, nan="propagate", reduction="none")(batch.requires_grad_())
            found.append((losses, torch.autograd.grad(losses.sum(), batch)[0]))
        usual, *bad = found
        for these in bad:
            for ours, expected in zip(these, usual, strict=True):
                assert ours[1].isnan().all() and torch.equal(ours[[0, 2]], expected[[0, 2]])


def test_options_that_cannot_be_used_are_refused(metric):
    for more in [
        *({"share": 0.3}, {"beside": "l1"}),
        {"share": 0.3, "beside": "huber"},
        *({"beside": "l1", "share": share} for share in (0.0, -1.0, "much")),
        {"beside": "l1", "share": 0.3, "loss_weight": 0.1},
        {"loss_weight": -1.0},
        *({"input_range": ends} for ends in [(1, 0), (0, torch.inf), (-torch.inf, 0), (torch.nan, 1), (0, 10**400)]),
        {"crop": 16},
        *({"prompt_weights": weights} for weights in ([1, 2], [-1.0], ["much"])),
        *({"prompts": "quality"}, {"criterion": "another"}),  # a ready metric takes none
    ]:
        refused(CLIPIQALoss, metric=metric, **more)


def test_a_metric_must_be_ours():
    for metric in ("mini", torch.nn.Linear(2, 2)):
        assert "metric must be a CLIPIQA" in refused(CLIPIQALoss, metric=metric)


def test_a_crop_may_be_larger_than_those_of_training(metric):
    assert CLIPIQALoss(metric=metric, crop=4096).crop == 4096


def test_a_weight_of_pixels_would_have_no_effect(metric):
    x = torch.rand(1, 3, 64, 64)
    with pytest.raises(TypeError, match="weight"):
        CLIPIQALoss(metric=metric)(x, x, weight=x)


def test_pyiqas_loss_weight_weighs_images_and_is_no_factor():
    """As docs/loss.md says of ``create_metric('clipiqa', as_loss=True, loss_weight=…)``."""
    images = photo_like(64, 64, 2)
    scores = CLIPIQA(backbone="mini").eval()(images).flatten()
    options = {"as_loss": True, "backbone": "mini", "device": "cpu"}
    weighted = pyiqa.create_metric("clipiqa", loss_weight=torch.tensor([[3.0], [1.0]]), **options)
    assert weighted(images).item() == pytest.approx((0.75 * scores[0] + 0.25 * scores[1]).item(), abs=1e-5)
    with pytest.raises(AttributeError):
        pyiqa.create_metric("clipiqa", loss_weight=0.1, **options)(images)


def test_a_mistyped_option_is_named_with_the_one_that_was_meant():
    with pytest.raises(TypeError, match=r"CLIPIQALoss has no option 'shar': did you mean 'share'\?"):
        CLIPIQALoss(backbone="mini", shar=0.3)
    assert "a function of the prediction" in refused(CLIPIQALoss, backbone="mini", share=0.3, beside="charbonnier")


@pytest.mark.parametrize(
    "factor, advice", [(255, "Divide 8-bit values by 255"), (-3, "If the network's range is another")]
)
def test_the_warning_about_a_range_says_what_to_do(metric, factor, advice):
    with pytest.warns(UserWarning, match=advice):
        CLIPIQALoss(metric=metric)(factor * uniform(1, 3, 64, 64))
