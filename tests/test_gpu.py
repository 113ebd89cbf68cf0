"""The metric, the loss and the family on a GPU; CLIPIQA_TEST_DEVICE=cpu runs the same code elsewhere."""

import os

import pytest
import torch
from photos import photo_like
from shard_makers import samples, save_tar

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, CLIPIQAReward, score_on_ray, score_paths
from clipiqa_pyiqa.family import MACLIP
from clipiqa_pyiqa.workbench.results.score_files import read_scores

DEVICE = os.environ.get("CLIPIQA_TEST_DEVICE", "cuda")
NO_GPU = DEVICE == "cuda" and not torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(NO_GPU, reason="torch sees no GPU")]
TOLERANCES = {"fp32": 1e-3, "fp16": 0.01, "bf16": 0.05}  # of scores in [0, 1]; TF32 and half floats round


@pytest.fixture(params=["mini", "RN50"])
def options(request, seeded_weights):
    own = {} if request.param == "mini" else {"clip_weights": seeded_weights("RN50")}
    return {"backbone": request.param, **own}


ANSWERS = {
    "scores": lambda options, x: CLIPIQA(**options).eval()(x),
    "compiled": lambda options, x: torch.compile(CLIPIQA(**options).eval(), backend="aot_eager")(x),
    "maps": lambda options, x: CLIPIQA(**options).eval().score_map(x),
    "family": lambda options, x: MACLIP("maclip", **options).eval()(x),
    "reward": lambda options, x: CLIPIQAReward(device=x.device, **options)(x.cpu()).sigmoid(),
}


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_equal_the_cpus(options, answer, precision):
    expected = ANSWERS[answer](options, photo_like(224, 256, 2))
    found = ANSWERS[answer]({**options, "precision": precision}, photo_like(224, 256, 2).to(DEVICE))
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=TOLERANCES[precision])


@pytest.mark.parametrize("precision, least", {"fp32": 0.999, "fp16": 0.9, "bf16": 0.8}.items())
def test_gradients_point_where_the_cpus_do(options, precision, least):
    found = []
    for device, here in (("cpu", "fp32"), (DEVICE, precision)):
        x = photo_like(224, 256, 2).to(device).requires_grad_()
        CLIPIQALoss(**options, precision=here)(x).backward()
        found.append(x.grad.cpu().flatten())
    assert torch.cosine_similarity(*found, dim=0) > least


def test_actors_of_ray_score_on_the_gpu(tmp_path):
    pytest.importorskip("ray")
    save_tar(tmp_path / "0.tar", samples([9, 8, 7]))
    metric = CLIPIQA(backbone="mini")
    local = score_paths(metric, tmp_path / "0.tar", device="cpu").frame()
    score_on_ray(metric, tmp_path / "0.tar", tmp_path / "out", actors=1, device=DEVICE)
    found = read_scores(tmp_path / "out").frame["quality"]
    assert (found - local["quality"]).abs().max() < TOLERANCES["fp32"]


@pytest.mark.skipif(DEVICE != "cuda", reason="memory is measured on CUDA alone")
def test_the_loss_of_eight_images_needs_at_most_eight_times_the_memory_of_one(options):
    loss = CLIPIQALoss(**options)
    peaks = []
    for n in (1, 8):
        x = photo_like(224, 256, n).to(DEVICE).requires_grad_()
        loss(x).backward()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        loss(x).backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] <= 8.5 * peaks[0]  # blocks are rounded up
