"""A single text as a question (the paper's Eq. 1): its spelling, its scores, and who refuses it."""

import functools

import pyiqa
import pytest
from photos import BUNDLED, photo_like

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, CLIPIQAReward, PromptError, draw_maps, export_onnx, quality_map

pytestmark = pytest.mark.quick

GOOD = "single:Good photo."

MINI = functools.partial(CLIPIQA, backbone="mini")


@pytest.fixture(scope="module")
def x():
    return photo_like(64, 96, n=2)


def test_pyiqa_creates_it_and_says_that_its_range_is_another(caplog):
    metric = pyiqa.create_metric("clipiqa", backbone="mini", prompts=GOOD, device="cpu")
    assert metric.net.score_range == (-1, 1)
    assert "cosines from -1 to 1" in caplog.text


def refusals(x, folder):
    single = MINI(prompts=GOOD)
    photo = BUNDLED / "canyon-wren.jpg"
    return {
        "CLIPIQALoss": lambda: CLIPIQALoss(GOOD, backbone="mini"),
        "CLIPIQALoss with a metric": lambda: CLIPIQALoss(metric=single),
        "CLIPIQAReward": lambda: CLIPIQAReward(["quality", GOOD], backbone="mini"),
        "a map of places": lambda: single.score_map(x),
        "a map of features": lambda: single.score(single.encode_map(x)),
        "a map": lambda: quality_map(MINI(), x, GOOD),
        "a map of photos": lambda: draw_maps(MINI, photo, GOOD),
        "a map of photos by a metric": lambda: draw_maps(single, photo, None),
        "an ONNX file": lambda: export_onnx(single, folder / "single.onnx"),
        "an ONNX file of prompts": lambda: export_onnx(MINI(), folder / "single.onnx", ["quality", GOOD]),
        "learned prompts": lambda: CLIPIQA("clipiqa+", "mini", pretrained=False, prompts=GOOD),
        "encode_prompts": lambda: single.encode_prompts(),
    }


@pytest.mark.parametrize("name", refusals(None, None))
def test_what_needs_pairs_refuses_it(name, x, tmp_path):
    with pytest.raises(PromptError, match=r"needs pairs of texts as `prompts`; got 'single:Good photo\.'") as refused:
        refusals(x, tmp_path)[name]()
    assert refused.value.options == ("prompts",)
    assert not list(tmp_path.iterdir())


def test_torchmetrics_class_refuses_it():
    torchmetrics = pytest.importorskip("clipiqa_pyiqa.torchmetrics", reason="torchmetrics is not installed")
    with pytest.raises(PromptError, match="CLIPImageQualityAssessment needs pairs"):
        torchmetrics.CLIPImageQualityAssessment(prompts=("quality", GOOD), backbone="mini")
