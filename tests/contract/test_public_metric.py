"""The metric's contract: questions, invariants, sharing, copying, and every bad input in one clear sentence."""

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import assert_close, grad_of
from torch.multiprocessing import get_context

from clipiqa_pyiqa import CLIPIQA, PromptError


@pytest.fixture(scope="module")
def metric(seeded_weights):
    return CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True)


@pytest.fixture(scope="module")
def images():
    return photo_like(80, 112, 3)


def like(metric, **options):
    return CLIPIQA(clip_weights=metric.clip.weights.path, quick_gelu=True, **options)


def test_call_time_prompts_equal_creation_time_prompts(metric, images):
    own = {"prompts": ["quality", ("Crisp photo.", "Hazy photo.")], "aggregate": None}
    asked = metric(images, **own)
    assert torch.equal(like(metric, **own)(images), asked)
    assert not torch.equal(asked[:, 0], asked[:, 1])


def test_encode_once_ask_often(metric, images):
    features = metric.encode_image(images)
    # 1e-6: unit length in fp32
    assert_close(features.norm(dim=-1), torch.ones(3), atol=1e-6)
    assert features.dtype == torch.float32 and features.shape == (3, 1024)
    assert torch.equal(metric.score(features, prompts="sharpness"), metric(images, prompts="sharpness"))


def test_template_rewords_names(metric, images):
    reworded = like(metric, template="A photo of {}.")
    assert torch.equal(reworded(images), metric(images, prompts=("A photo of Good.", "A photo of Bad.")))


def test_batch_scores_like_single_images(metric):
    for side in [224, 37]:
        images = photo_like(side, side, 5)
        batch = metric(images)
        single = torch.cat([metric(image[None]) for image in images])
        assert_close(batch, single, atol=6e-7)  # the last digits of fp32, times 100


def test_memory_layout_does_not_matter(metric, images):
    assert_close(metric(images.contiguous(memory_format=torch.channels_last)), metric(images), atol=1e-6)


def test_made_under_inference_mode_still_has_gradients(seeded_weights, images):
    with torch.inference_mode():  # the towers are built here, as no other metric has this activation
        metric = CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=False)
        metric(images)
    assert grad_of(metric, images).norm() > 0


@pytest.mark.slow
def test_spawned_processes_can_use_it():
    metric = CLIPIQA(backbone="mini")
    image = torch.full((1, 3, 40, 40), 0.25)
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(metric, [image])
    assert_close(metric(image), there, atol=1e-6)


def test_images_of_another_form_are_refused(metric):
    shapes = (3, 64, 64), (1, 64, 64, 3), (1, 4, 64, 64), (0, 3, 64, 64), (1, 3, 31, 64)
    good = torch.rand(1, 3, 64, 64)
    odd = good.to_sparse(), good.to("meta"), good.to(torch.complex64), good.byte(), good.numpy(), "photo.jpg"
    for x in (*map(torch.rand, shapes), *odd):
        refused(metric, x)


def test_an_image_that_is_not_finite_is_refused_and_named(metric):
    for value in ("nan", "inf", "-inf"):
        x = torch.rand(3, 3, 40, 40)
        x[1, 2, 3, 4] = float(value)
        assert "image 1" in refused(metric, x)


def test_pixels_of_another_range_are_refused(metric, images):
    for call in ["forward", "encode_image", "encode_map", "encode_with_map", "encode_stages", "score_map"]:
        for x in (255 * images, 2 * images - 1):
            refused(getattr(metric, call), x)


def test_overshoot_of_a_network_is_scored(metric, images):
    assert grad_of(metric, 1.9 * images - 0.45).norm() > 0


def test_a_bad_question_fails_before_the_image_is_encoded(metric, images, monkeypatch):
    monkeypatch.setattr(metric, "encode_unchecked", lambda x: pytest.fail("encoded for nothing"))
    with pytest.raises(PromptError):
        metric(images, prompts=[])


def test_equal_images_of_one_batch_have_equal_scores():
    x = photo_like(256, 256)
    metric = CLIPIQA(backbone="mini").eval()
    for count in (5, 7):
        assert len(metric(x.expand(count, -1, -1, -1)).unique()) == 1
    feature = metric.encode_image(x)
    for count in range(2, 40):  # the order of sums depends on the length of a batch
        assert len(metric.score(feature.repeat(count, 1)).unique()) == 1
