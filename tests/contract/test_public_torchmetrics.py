"""torchmetrics' interface: its arguments, results and errors, with our scores; what its own tests ask of its class."""

import pickle
from functools import partial
from unittest.mock import Mock, call

import pytest
from assertions import refused
from photos import photo_like
from tensors import grad_of

from clipiqa_pyiqa import CLIPIQA

torchmetrics = pytest.importorskip("torchmetrics")

from clipiqa_pyiqa import torchmetrics as functional  # noqa: E402
from clipiqa_pyiqa.torchmetrics import (  # noqa: E402
    CLIPImageQualityAssessment,
    clip_image_quality_assessment,
)

IMAGES = photo_like(64, 80, 4)

BOTH = CLIPImageQualityAssessment(backbone="mini"), partial(clip_image_quality_assessment, backbone="mini")

FREE = ("Super good photo.", "Super bad photo.")

CLOSE = 5e-6  # of scores in [0, 1]: how many images and prompts share a product decides in which order it sums


def same(found, expected):
    return found.shape == expected.shape and bool((found - expected).abs().max() < CLOSE)


def ours(prompts):
    return CLIPIQA(backbone="mini").eval()(IMAGES, prompts, None)


def test_what_is_no_tensor_is_refused():
    for metric in BOTH:
        assert "dense tensor" in refused(metric, "photo.png")


@pytest.mark.parametrize(
    "prompts, as_ours, names",
    [
        (("quality",), ["quality"], ["quality"]),
        (("colorfullness", "complexity"), ["colorfulness", "complex"], ["colorfullness", "complexity"]),
        ((FREE, "brightness", FREE), [FREE, "brightness", FREE], ["user_defined_0", "brightness", "user_defined_1"]),
    ],
)
@pytest.mark.parametrize("data_range", [1.0, 255])
@pytest.mark.slow
def test_scores_equal_those_of_clipiqa(prompts, as_ours, names, data_range):
    expected = ours(as_ours)
    metric = CLIPImageQualityAssessment(data_range=data_range, prompts=prompts, backbone="mini")
    for found in (
        clip_image_quality_assessment(IMAGES * data_range, data_range=data_range, prompts=prompts, backbone="mini"),
        metric(IMAGES * data_range),
        metric.compute(),
    ):
        if len(names) == 1:
            assert same(found, expected[:, 0])
        else:
            assert list(found) == names
            assert all(same(found[name], expected[:, i]) for i, name in enumerate(names))


def test_a_single_value_is_squeezed_as_torchmetrics_does():
    metric = CLIPImageQualityAssessment(backbone="mini", prompts=("quality", "sharpness"))
    metric.update(IMAGES[:1])
    assert metric.compute()["quality"].shape == ()
    assert CLIPImageQualityAssessment(backbone="mini")(IMAGES[:1]).shape == ()


def test_gradient_reaches_the_pixels():
    for score in BOTH:
        assert (grad_of(score, IMAGES).flatten(1).norm(dim=1) > 0).all()


def test_bad_arguments_raise_torchmetrics_errors():
    for option, value in [
        ("prompts", "quality"),
        ("prompts", ("quality", "nonsense")),
        ("prompts", (("one", "two", "three"),)),
        ("data_range", 0),
        ("model_name_or_path", "openai/clip-vit-large-patch14-336"),
        ("nonsense", 1),
        ("model_type", "clipiqa+"),
    ]:
        with pytest.raises(ValueError, match=option.removesuffix("s")):
            clip_image_quality_assessment(IMAGES, **{option: value}, backbone="mini")


def test_a_forgotten_data_range_is_refused():
    for score in BOTH:
        refused(score, (IMAGES * 255).byte())


def test_names_of_models_choose_backbone_and_input_size(monkeypatch):
    """ViTs see images resized and cropped, as torchmetrics' processor does it; options of ours win."""
    made = Mock(side_effect=lambda **options: CLIPIQA(backbone="mini"))
    monkeypatch.setattr(functional, "CLIPIQA", made)
    CLIPImageQualityAssessment()
    CLIPImageQualityAssessment("openai/clip-vit-base-patch32", precision="bf16")
    CLIPImageQualityAssessment("openai/clip-vit-large-patch14", pos_embedding="interpolate")
    assert made.mock_calls == [
        call(backbone="RN50"),
        call(backbone="ViT-B/32", pos_embedding="fixed", precision="bf16"),
        call(backbone="ViT-L/14", pos_embedding="interpolate"),
    ]


def test_steps_resets_pickles_and_clones_agree_as_torchmetrics_asks():
    """Batch by batch: each step's value, the value of all, and again after a reset."""
    metric = pickle.loads(pickle.dumps(CLIPImageQualityAssessment(backbone="mini")))
    expected = ours(["quality"])[:, 0]
    assert metric.clone() is not metric
    for _ in range(2):
        for part, scores in zip(IMAGES.split(2), expected.split(2), strict=True):
            assert same(metric(part), scores)
        assert same(metric.compute(), expected)
        metric.reset()
        assert metric.scores == [] and metric.update_count == 0
    assert metric.state_dict() == {}
