"""Promises of docs/loss.md: lower is better, its gradient raises scores, its forms, its share, its range of pixels."""

import math

import pyiqa
import pytest
import torch
import yaml
from assertions import refused
from photos import photo_like
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, CLIPIQAReward, GamingAlarm, ImageError
from clipiqa_pyiqa.loss import general_path

FORMS = {"linear": lambda s: 1 - s, "nll": lambda s: -s.log(), "margin": lambda s: -s.logit()}
X = 0.1 + 0.8 * photo_like(48, 48, 2, torch.float64)  # what is outside is clamped
Y = X.flip(3)


@pytest.fixture(scope="module")
def rn50(seeded_weights):
    return CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True).eval()


@pytest.fixture(params=["mini", "RN50"])
def net(request, metric, rn50):
    return metric if request.param == "mini" else rn50


def gradient_of(loss, x, *more):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, *more), leaf)[0]


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_is_that_function_of_the_score(net, form):
    with torch.no_grad():
        scores = net(X)[:, 0]
        losses = CLIPIQALoss(metric=net, form=form, reduction="none")(X)
    assert torch.allclose(losses.flatten(), FORMS[form](scores), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"form": "linear"},
        {"form": "margin"},
        {"local": True},
        pytest.param({"form": "nll", "local": True}, marks=pytest.mark.slow),
    ],
)
def test_a_step_against_the_gradient_raises_the_score_of_each_image(net, options):
    loss = CLIPIQALoss(metric=net, **options)
    gradient = F.normalize(gradient_of(loss, X).flatten(1), dim=1).view_as(X)
    with torch.no_grad():
        if "local" in options:
            before, after = (net.score_map(each).mean((1, 2, 3)) for each in (X, X - 1e-3 * gradient))
        else:
            before, after = (net(each)[:, 0] for each in (X, X - 1e-3 * gradient))
        assert (after > before).all() and loss(X - 1e-3 * gradient) < loss(X)


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_the_slope_of_the_loss(net, form):
    """By central differences in float64, whose step is so small that no ReLU changes sides."""
    loss = CLIPIQALoss(metric=net, form=form)
    direction = torch.randn(X.shape, generator=torch.Generator().manual_seed(0), dtype=X.dtype)
    step = 1e-8 * direction
    with torch.no_grad():
        slope = (loss(X + step) - loss(X - step)).item() / 2e-8
    assert (gradient_of(loss, X) * direction).sum().item() == pytest.approx(slope, rel=1e-4)


def test_a_batchs_gradient_is_that_of_its_images(net):
    loss = CLIPIQALoss(metric=net, reduction="sum")
    alone = torch.cat([gradient_of(loss, image) for image in X.split(1)])
    largest = alone.abs().max()
    assert (gradient_of(loss, X) - alone).abs().max() < 1e-8 * largest


def test_weights_of_prompts_and_of_the_loss(net):
    options = {"metric": CLIPIQA(backbone="mini", prompts=["quality", "sharpness"], aggregate=None)}
    with torch.no_grad():
        quality, sharpness = options["metric"](X).unbind(1)
        found = CLIPIQALoss(**options, prompt_weights=[3, 1], loss_weight=2, reduction="none")(X).flatten()
    assert torch.allclose(found, 2 * (3 * (1 - quality) + (1 - sharpness)) / 4, atol=1e-6)


# The range of pixels


def test_pixels_far_outside_warn_once_and_are_clamped(metric):
    loss = CLIPIQALoss(metric=metric)
    wide = X.float() * 3 - 1
    with pytest.warns(UserWarning, match="input_range"):
        found = loss(wide)
    assert torch.allclose(found, loss(wide.clamp(0, 1)))
    assert (gradient_of(loss, wide)[wide > 1] == 0).all()
    with pytest.raises(ImageError):
        metric(wide)  # the metric itself refuses them


def test_another_range_gives_the_same_loss(metric):
    plain = CLIPIQALoss(metric=metric)(X)
    for low, high in [(-1, 1), (0, 255)]:
        moved = X * (high - low) + low
        assert torch.allclose(CLIPIQALoss(metric=metric, input_range=(low, high))(moved), plain, atol=1e-9)


def test_an_image_that_is_not_finite_is_named_or_makes_its_own_loss_nan(metric):
    broken = X.clone()
    broken[1, 0, 0, 0] = math.nan
    with pytest.raises(ImageError, match="1"):
        CLIPIQALoss(metric=metric)(broken)
    loss = CLIPIQALoss(metric=metric, nan="propagate", reduction="none")
    assert loss(broken).flatten().isnan().tolist() == [False, True]
    gradient = gradient_of(lambda x: loss(x).sum(), broken)
    assert gradient.isnan().flatten(1).all(1).tolist() == [False, True]


@pytest.mark.parametrize(
    "x", [torch.rand(3, 64, 64), torch.rand(1, 2, 64, 64), torch.rand(1, 3, 31, 64), torch.zeros(1, 3, 64, 64).byte()]
)
def test_what_are_no_images_is_refused(metric, x):
    refused(CLIPIQALoss(metric=metric), x)


# Its share of the gradient


@pytest.mark.parametrize(
    "beside, share", [("l1", 0.3), ("mse", 1.0), (lambda restored, clean: (restored - clean).abs().mean(), 0.3)]
)
def test_the_gradients_norm_is_that_share_of_the_pixel_losss(metric, share, beside):
    pixel = {"l1": F.l1_loss, "mse": F.mse_loss}.get(beside, beside)
    criterion = CLIPIQALoss(metric=metric, share=share, beside=beside)
    ours = gradient_of(criterion, X, Y).norm()
    assert (ours / gradient_of(pixel, X, Y).norm()).item() == pytest.approx(share, rel=1e-6)
    plain = gradient_of(CLIPIQALoss(metric=metric), X).norm()
    assert (ours / plain).item() == pytest.approx(float(criterion.last_weight), rel=1e-6)


def test_without_gradients_the_last_weight_counts_0_before_the_first_step(metric):
    criterion = CLIPIQALoss(metric=metric, share=0.3, beside="l1")
    with torch.no_grad():
        assert criterion(X, Y) == 0
    criterion(X.clone().requires_grad_(), Y).backward()
    with torch.no_grad():
        expected = float(criterion.last_weight) * CLIPIQALoss(metric=metric)(X)
        assert torch.allclose(criterion(X, Y), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0.3},
        {"beside": "l1"},
        {"share": -1, "beside": "l1"},
        {"share": 0.3, "beside": "l3"},
        {"share": 0.3, "beside": "l1", "loss_weight": 2},
    ],
)
def test_a_share_needs_a_pixel_loss_and_no_weight(metric, options):
    refused(CLIPIQALoss, metric=metric, **options)


def test_local_and_share_go_together(metric):
    criterion = CLIPIQALoss(metric=metric, share=0.3, beside="l1", local=True)
    ratio = gradient_of(criterion, X, Y).norm() / gradient_of(F.l1_loss, X, Y).norm()
    assert ratio.item() == pytest.approx(0.3, rel=1e-6)


# In trainers


def test_pyiqas_score_as_a_loss_is_maximised():
    score = pyiqa.create_metric("clipiqa", backbone="mini", as_loss=True, device="cpu")
    x = X.float()
    gradient = gradient_of(lambda leaf: score(leaf).sum(), x)
    ours = gradient_of(CLIPIQALoss(backbone="mini"), x)
    assert torch.cosine_similarity(gradient.flatten(), ours.flatten(), dim=0) < -0.999


def test_pyiqa_builds_the_loss_from_yaml():
    import pyiqa.losses

    options = yaml.safe_load("""
        type: CLIPIQALoss
        backbone: mini
        prompts: [quality, sharpness]
        prompt_weights: [3, 1]
        form: linear
        local: true
        share: 0.3
        beside: l1
    """)
    loss = pyiqa.losses.build_loss(options)
    assert isinstance(loss, CLIPIQALoss) and gradient_of(loss, X, Y).norm() > 0


def test_a_module_that_holds_the_loss_saves_and_loads_nothing_of_it(metric):
    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Conv2d(3, 3, 1)
            self.criterion = CLIPIQALoss(metric=metric)

    holder = Holder()
    assert set(holder.state_dict()) == {"net.weight", "net.bias"}
    assert [name for name, _ in holder.named_parameters()] == ["net.weight", "net.bias"]
    holder.half().train()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(holder.criterion(X.float()), CLIPIQALoss(metric=metric)(X.float()))


def test_second_derivatives_are_there_if_asked_for(metric):
    direction = F.normalize(photo_like(48, 48, 2, torch.float64).flip(2).flatten(), dim=0).view_as(X)

    def curvature(loss):
        leaf = X.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
        return torch.autograd.grad((slope * direction).sum(), leaf)[0]

    found = curvature(CLIPIQALoss(metric=metric, double_backward=True))
    with general_path():
        expected = curvature(lambda x: 1 - metric(x).mean())
    assert found.norm() > 0 and torch.allclose(found, expected, atol=1e-9 * found.abs().max().item())


def test_one_step_of_a_network_raises_scores(metric):
    """As the page's first block, with the loss alone."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1).double()
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.zeros_(network.bias)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    criterion = CLIPIQALoss(metric=metric)
    values = []
    for _ in range(3):
        loss = criterion(X + network(X))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[0] > values[1] > values[2]


# The reward and the alarm


def test_the_reward_is_the_margin_without_gradient(metric):
    found = CLIPIQAReward("quality", backbone="mini")(X.float())
    with torch.no_grad():
        assert torch.allclose(found, metric(X.float())[:, 0].logit(), atol=1e-4)
    assert not found.requires_grad and found.shape == (2,)


def test_references_add_three_times_psnr(metric):
    x = X.float()
    y = Y.float()
    reward = CLIPIQAReward("quality", backbone="mini")
    psnr = -10 * (x - y).square().mean((1, 2, 3)).log10()
    assert torch.allclose(reward(x, y) - reward(x), 3 * psnr, atol=1e-3)
    factor = CLIPIQAReward("quality", backbone="mini", fidelity=1)
    assert torch.allclose(factor(x, y) - factor(x), psnr, atol=1e-3)


@pytest.mark.slow
def test_outputs_that_follow_the_gradient_are_called_and_unchanged_ones_are_not(metric):
    clean = photo_like(64, 64, 8)
    criterion = CLIPIQALoss(metric=metric)
    alarm = GamingAlarm(criterion, clean=clean)
    outputs = F.avg_pool2d(clean, 3, stride=1, padding=1)
    assert alarm(outputs).sentence == alarm(outputs).sentence == ""
    for _ in range(25):
        step = F.normalize(gradient_of(criterion, outputs).flatten(1), dim=1).view_as(outputs)
        outputs = (outputs - 0.3 * step).clamp(0, 1)
    assert alarm(outputs).sentence
