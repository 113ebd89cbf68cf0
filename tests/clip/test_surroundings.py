"""What surrounds a call and must not change its scores: default devices, compiling, export."""

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA

IMAGES = photo_like(64, 96, 2)
CLOSE = 5e-6  # of scores in [0, 1]: plain operations sum in another order than strips and groups; 1.1e-6 was seen


@pytest.mark.quick
def test_an_operation_that_mps_lacks_is_explained():
    """torch's message goes on for several lines about what its authors should know."""
    theirs = NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS device. If you want")
    said = str(missing_on_mps(theirs))
    assert "aten::x" in said and "If you want" not in said


@pytest.fixture
def options(small_compact):
    return {"backbone": "mini", "clip_weights": small_compact}


@pytest.mark.filterwarnings("ignore")  # torch's own deprecation, and that shapes become constants
@pytest.mark.slow
def test_an_export_keeps_the_scores(options):
    metric = CLIPIQA(**options).eval()
    exported = torch.export.export(metric, (IMAGES,), strict=False)  # newer releases' default
    assert (exported.module()(IMAGES.flip(3)) - metric(IMAGES.flip(3))).abs().max() < CLOSE


@pytest.mark.parametrize("more", [{}, {"pos_embedding": "fixed"}])
@pytest.mark.slow
def test_a_compiled_metric_scores_as_it_does_uncompiled(more, options):
    metric = CLIPIQA(**options, **more).eval()
    torch._dynamo.reset()
    backend = "eager" if more else "aot_eager"  # inductor needs a compiler
    compiled = torch.compile(metric, backend=backend)
    inputs = [IMAGES] if more else [IMAGES, IMAGES[:1, :, :40], IMAGES.double(), IMAGES[:, :1]]
    for x in inputs:
        assert torch.equal(compiled(x), metric(x))
    gradients = []
    for function in (compiled, metric):
        x = IMAGES.to(memory_format=torch.channels_last).requires_grad_()
        function(0.9 * x).square().sum().backward()
        gradients.append(x.grad)
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()  # signs of ReLUs flip in fp32


@pytest.mark.slow
def test_prompts_are_trained_alike_when_compiled(options):
    metric = CLIPIQA("clipiqa+", **options, pretrained=False).train()
    torch._dynamo.reset()
    gradients = []
    for function in (torch.compile(metric, backend="eager"), metric):
        metric.zero_grad()
        function(IMAGES).sum().backward()
        gradients.append(metric.prompt_learner.ctx.grad.clone())
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-7) and gradients[0].abs().sum() > 0


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no batching rule for attention
@pytest.mark.parametrize("backbone", ["mini", "RN50", "ViT-B/32"])
@pytest.mark.slow
def test_vmap_over_images(backbone, seeded_weights):
    metric = CLIPIQA(backbone=backbone, clip_weights=seeded_weights(backbone), quick_gelu=True).eval()
    learned = CLIPIQA("clipiqa+", backbone, clip_weights=seeded_weights(backbone), quick_gelu=True, pretrained=False)
    learned.eval().prompt_learner.ctx.data = normal(*learned.prompt_learner.ctx.shape) * 0.02
    criterion = CLIPIQALoss(metric=metric)
    for function in (metric, learned, metric.encode_image, metric.score_map, criterion):
        one_by_one = torch.stack([function(image[None]) for image in IMAGES])
        assert (torch.vmap(function)(IMAGES[:, None]) - one_by_one).abs().max() < CLOSE
    slopes = torch.vmap(torch.func.grad(lambda image: criterion(image[None])))(IMAGES)
    x = IMAGES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(CLIPIQALoss(metric=metric, reduction="sum")(x), x)
    assert (slopes - expected).norm() < 1e-3 * expected.norm()  # signs of ReLUs flip in fp32


def test_what_does_not_work_inside_vmap_says_so(metric):
    square = CLIPIQA(backbone="mini", pos_embedding="fixed").eval()
    crop = CLIPIQALoss(metric=metric, crop=32)
    share = CLIPIQALoss(metric=metric, share=0.3, beside="l1")
    for function, named in (
        (square, "crops images to a square"),
        (crop, "a random crop"),
        (torch.func.grad(lambda x: share(x, torch.zeros_like(x))), "share needs"),
    ):
        said = refused(torch.vmap(function, randomness="different"), IMAGES[:, None])
        assert named in said and "torch." in said
