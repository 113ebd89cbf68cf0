"""What surrounds a call and must not change its scores: default devices, compiling, export."""

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA

IMAGES = photo_like(64, 96, 2)
CLOSE = 5e-6  # of scores in [0, 1]: plain operations sum in another order than strips and groups; 1.1e-6 was seen


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
