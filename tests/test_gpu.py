"""The metric and the loss on a GPU; CLIPIQA_TEST_DEVICE=cpu runs the same code elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss

DEVICE = os.environ.get("CLIPIQA_TEST_DEVICE", "cuda")
NO_GPU = DEVICE == "cuda" and not torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(NO_GPU, reason="torch sees no GPU")]
TOLERANCES = {"fp32": 1e-3, "fp16": 0.01, "bf16": 0.05}  # of scores in [0, 1]; TF32 and half floats round


@pytest.fixture(params=["mini", "RN50"])
def options(request: pytest.FixtureRequest, seeded_weights: Callable[[str], Path]) -> dict[str, Any]:
    own = {} if request.param == "mini" else {"clip_weights": seeded_weights("RN50")}
    return {"backbone": request.param, **own}


def image(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("precision", TOLERANCES)
def test_scores_equal_the_cpus(options: dict[str, Any], precision: Any) -> None:
    expected = CLIPIQA(**options).eval()(image())
    found = CLIPIQA(**options, precision=precision).eval().to(DEVICE)(image().to(DEVICE))
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=TOLERANCES[precision])


def test_maps_equal_the_cpus(options: dict[str, Any]) -> None:
    net = CLIPIQA(**options).eval()
    expected = net.score_map(image())
    torch.testing.assert_close(net.to(DEVICE).score_map(image().to(DEVICE)).cpu(), expected, rtol=0, atol=1e-3)


def test_gradients_equal_the_cpus(options: dict[str, Any]) -> None:
    found = []
    for device in ("cpu", DEVICE):
        x = image().to(device).requires_grad_()
        CLIPIQALoss(**options).to(device)(x).backward()
        found.append(x.grad.cpu().flatten())  # type: ignore[union-attr]
    assert torch.cosine_similarity(*found, dim=0) > 0.999


@pytest.mark.skipif(DEVICE != "cuda", reason="memory is measured on CUDA alone")
def test_the_loss_of_eight_images_needs_at_most_eight_times_the_memory_of_one(options: dict[str, Any]) -> None:
    loss, peaks = CLIPIQALoss(**options).to(DEVICE), []
    for n in (1, 8):
        x = image(n).to(DEVICE).requires_grad_()
        loss(x).backward()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        loss(x).backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] <= 8.5 * peaks[0]  # blocks are rounded up
