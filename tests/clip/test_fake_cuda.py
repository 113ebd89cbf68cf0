"""A GPU without a GPU: on fake CUDA tensors torch refuses to mix devices, so that a tensor left on the CPU fails here.

Checks that read values cannot run on fake tensors and are not called; tests marked ``gpu`` need a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip.device import FrozenTensors
from clipiqa_pyiqa.clip.efficientnet import RESOLUTION, EfficientNet
from clipiqa_pyiqa.clip.gradient import per_image
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.clip.resnet import ModifiedResNet
from clipiqa_pyiqa.clip.vit import VisionTransformer
from clipiqa_pyiqa.loss import FORMS
from clipiqa_pyiqa.prompts.antonym import antonym_scores, margins
from clipiqa_pyiqa.weights.checkpoint import Checkpoint

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU: -m gpu")
CUDA = torch.device("cuda:0")


class Read(Checkpoint):
    """A checkpoint whose tensors were read, and checked, before any is fake."""

    def __getitem__(self, key: str) -> Tensor:
        return self.read(key)


def read(metric: CLIPIQA) -> Read:
    source = metric.clip.checkpoint
    content = {name: source[name] for name in source}
    return Read(source.path, source.shapes, content.__getitem__, source.metadata)


def tower_on_cuda(metric: CLIPIQA, checkpoint: Read, dtype: torch.dtype) -> ImageTower:
    """The metric's image tower, on fake tensors."""
    tensors, weights = FrozenTensors(checkpoint, CUDA, dtype), metric.clip.weights
    if weights.backbone == "mini":
        return ImageTower(EfficientNet(tensors), weights, RESOLUTION)
    if weights.backbone == "RN50":
        return ImageTower(ModifiedResNet(tensors), weights, 224)
    return ImageTower(VisionTransformer(tensors, weights.quick_gelu), weights, 224)


@pytest.fixture(params=["RN50", "ViT-B/32", "mini"])
def metric(request: pytest.FixtureRequest, seeded_weights: Callable[[str], Path]) -> CLIPIQA:
    name = request.param
    more = {} if name == "mini" else {"clip_weights": str(seeded_weights(name)), "quick_gelu": True}
    return CLIPIQA(backbone=name, **more).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_scores_maps_and_the_losss_core_stay_on_the_gpu(metric: CLIPIQA, dtype: torch.dtype) -> None:
    texts, scale = metric.encode_prompts(["quality", "sharpness"]), metric.clip.logit_scale
    checkpoint = read(metric)
    with FakeTensorMode(allow_non_fake_inputs=True):
        tower, texts = tower_on_cuda(metric, checkpoint, dtype), texts.to(CUDA)
        x = torch.rand(2, 3, 96, 64, device=CUDA, requires_grad=True)
        features, places = tower.encode(x, "none", "image", "places")
        assert features.device == places.device == CUDA
        assert antonym_scores(features, texts, scale).device == CUDA

        def losses(images: Tensor) -> Tensor:
            return FORMS["nll"](margins(tower(images, "none"), texts, scale)).mean(1)

        loss = per_image(losses, x)
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        assert (loss.device, loss.shape, gradient.device, gradient.shape) == (CUDA, (2,), CUDA, x.shape)
        stages = tower.encode_stages(x.detach(), "none")
        assert stages.device == CUDA and stages.shape[1] > features.shape[1]


def test_a_tensor_left_on_the_cpu_fails(metric: CLIPIQA) -> None:
    """The tests above can fail."""
    checkpoint = read(metric)
    with FakeTensorMode(allow_non_fake_inputs=True):
        tower = tower_on_cuda(metric, checkpoint, torch.float32)
        tower.mean = tower.encoder.mean = tower.mean.cpu().expand(1, 3, 64, 64)
        x = torch.rand(1, 3, 64, 64, device=CUDA)
        with pytest.raises(RuntimeError, match="found two different devices"):
            tower.encode(x, "none", "image") if metric.clip.weights.backbone != "mini" else x - tower.mean
