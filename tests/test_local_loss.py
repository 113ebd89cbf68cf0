"""The local loss: the mean over places, as cheap in memory as the global one, and harder to please in one corner."""

import pytest
import torch
from photos import blurred, photo_like
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.clip import gradient as groups_module
from clipiqa_pyiqa.workbench.experiments.demonstration import PHOTOS

pytestmark = pytest.mark.slow

TWO = ["sharpness", ("Crisp photo.", "Hazy photo.")]
BACKBONES = ("RN50", "ViT-B/32", "mini")


@pytest.fixture(scope="module", params=BACKBONES)
def metric(request, seeded_weights):
    path = seeded_weights(request.param)
    return CLIPIQA(backbone=request.param, clip_weights=path, quick_gelu=True, prompts=TWO).eval()


def images(n=2, dtype=torch.float32):
    return photo_like(64, 64, n, dtype).requires_grad_()


def test_memory_is_flat_in_the_batch(metric, monkeypatch):
    """Between forward and backward only the pixels' gradient lives."""
    for local in [True, False]:
        monkeypatch.setattr(groups_module, "CPU_GROUP_PIXELS", 64 * 64)
        loss = CLIPIQALoss(metric=metric, local=local)
        x = images(4)
        packed = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, packed=packed: packed.append(t) or t, lambda t: t):
            value = loss(x * 1.0)
        large = [(t.shape, t.dtype) for t in packed if t.numel() >= x.numel() // 8]
        # the masks of the clamp, and the gradient
        assert large == [*[(x.shape, torch.bool)] * 2, (x.shape, torch.float32)]
        value.backward()
        assert x.grad is not None and x.grad.isfinite().all() and x.grad.norm() > 0


def test_damage_in_a_corner_counts():
    """Of two photos, mini's global loss barely minds a blurred quarter; the local loss does, and pulls mostly there."""
    metric = CLIPIQA(backbone="mini", prompts="sharpness").eval()
    ratios = []
    losses = [CLIPIQALoss(metric=metric, local=local, reduction="none") for local in (False, True)]
    for path in sorted(PHOTOS.glob("*.jpg"))[1:]:
        photo = Image.open(path).convert("RGB").crop((100, 20, 356, 276))
        damaged = photo.copy()
        damaged.paste(blurred(photo, 3).crop((0, 0, 128, 128)), (0, 0))
        x = torch.stack([pil_to_tensor(photo), pil_to_tensor(damaged)]) / 255
        whole, local = (loss(x).diff().item() for loss in losses)
        ratios.append(local / max(whole, 1e-3))
    assert min(ratios) > 2, ratios
