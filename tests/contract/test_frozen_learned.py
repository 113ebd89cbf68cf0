"""Learned prompts and heads of earlier versions give their scores, in Python and in commands.

``tests/helpers/frozen_files.py`` says how the files in ``tests/contract/frozen/learned`` were made.
"""

import pandas
import pyiqa
import pytest
import torch
from frozen_files import FITS, LEARNED, learned_images
from torchvision.transforms.functional import to_pil_image

from clipiqa_pyiqa import CLIPIQALoss

SCORES = pandas.read_csv(LEARNED / "scores.csv")
CLOSE = 1e-4
"""The most between scores in fp32 and in float64, of a scale from 1 to 5."""


def built(name, **options):
    return pyiqa.create_metric(
        "clipiqa+", device="cpu", backbone="mini", pretrained_model_path=str(LEARNED / name), **options
    ).net


@pytest.mark.parametrize("name", SCORES)
def test_a_file_gives_its_scores(name):
    net = built(name)
    with torch.no_grad():
        scores = net(learned_images())
    assert scores[:, 0].tolist() == pytest.approx(SCORES[name].tolist(), rel=0, abs=1e-6)


def test_every_head_is_tested():
    assert {*FITS, "prompts.safetensors", "prompts.pth"} == set(SCORES)


@pytest.mark.parametrize("name, is_low, low, high", [
    ("affine.safetensors", False, 0, 1),
    ("ridge.safetensors", False, 1, 5),
    ("affine-stages.safetensors", True, 1, 5),
])  # fmt: skip
def test_a_head_knows_its_scale_and_its_direction(name, is_low, low, high):
    net = built(name)
    assert net.lower_better is is_low
    middle = SCORES[name].mean()
    assert low <= middle <= high
    pixels = learned_images()[:1, :, :48, :48].clone().requires_grad_()
    loss = CLIPIQALoss(metric=net)(pixels)
    (gradient,) = torch.autograd.grad(loss, pixels)
    with torch.no_grad():
        rise = (net(pixels - 1e-3 * gradient / gradient.norm()) - net(pixels)).mean().item()
    assert (rise < 0) is is_low  # along the loss's gradient, the score gets better


@pytest.mark.parametrize("name", ["prompts.pth", "prompts.safetensors"])
def test_prompts_are_loaded_into_a_metric_that_exists(name):
    net = pyiqa.create_metric("clipiqa+", device="cpu", backbone="mini", pretrained=False).net
    net.load_prompts(LEARNED / name)
    with torch.no_grad():
        assert net.eval()(learned_images())[:, 0].tolist() == pytest.approx(SCORES[name].tolist(), abs=1e-6)


def test_commands_take_the_files_as_metrics_and_as_prompts(clipiqa, tmp_path):
    for number, pixels in enumerate(learned_images()):
        to_pil_image(pixels.float()).save(tmp_path / f"{number}.png")
    files = [name for name in SCORES if name.endswith(".safetensors")]
    paths = " ".join(str(LEARNED / name) for name in files)
    clipiqa(f"score 0.png 1.png 2.png --out s.csv --device cpu -m {paths}", 0)
    found = pandas.read_csv("s.csv")
    for name in files:
        column = name.removesuffix(".safetensors")
        assert found[column].tolist() == pytest.approx(SCORES[name].tolist(), abs=CLOSE)
    clipiqa(f"score 0.png --learned-prompts {LEARNED}/prompts.pth -b mini --device cpu --out p.csv", 0)
    learned = pandas.read_csv("p.csv").iloc[0, 1]
    assert learned == pytest.approx(SCORES["prompts.pth"][0], abs=CLOSE)
