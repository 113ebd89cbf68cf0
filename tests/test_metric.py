"""The metric's contract: questions, invariants, sharing, copying, and every bad input in one clear sentence."""

import copy
import gc
import json
import pickle
import weakref
from functools import partial

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import assert_close, grad_of
from torch.multiprocessing import get_context

from clipiqa_pyiqa import CLIPIQA, PromptError
from clipiqa_pyiqa.clip import strips as strips_module
from clipiqa_pyiqa.options import net_of
from clipiqa_pyiqa.prompts.pairs import QuestionsByColumn, parse_questions


@pytest.fixture(scope="module")
def metric(seeded_weights):
    return CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True)


@pytest.fixture(scope="module")
def images():
    return photo_like(80, 112, 3)


def like(metric, **options):
    return CLIPIQA(clip_weights=metric.clip.weights.path, quick_gelu=True, **options)


# Questions


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


def test_columns_average_what_they_say(metric, images):
    questions = ["sharpness", "pyiqa", ("Crisp photo.", "Hazy photo.")]
    columns = parse_questions(questions)
    features = metric.encode_image(images)
    asked = metric.score(features, columns)
    singly = [metric.score(features, question) for question in questions]
    assert_close(asked, torch.cat(singly, dim=1), atol=1e-6)  # digits of fp32
    assert torch.equal(metric(images, columns), asked)
    refused(metric.score, features, columns, aggregate="mean")


def test_template_rewords_names(metric, images):
    reworded = like(metric, template="A photo of {}.")
    assert torch.equal(reworded(images), metric(images, prompts=("A photo of Good.", "A photo of Bad.")))


# Invariants


def test_batch_scores_like_single_images(metric):
    for side in [224, 37]:
        images = photo_like(side, side, 5)
        batch = metric(images)
        single = torch.cat([metric(image[None]) for image in images])
        assert_close(batch, single, atol=6e-7)  # the last digits of fp32, times 100


def test_memory_layout_does_not_matter(metric, images):
    assert_close(metric(images.contiguous(memory_format=torch.channels_last)), metric(images), atol=1e-6)


def test_strips_are_exact(metric, monkeypatch):
    for size in [(75, 54), (64, 40), (49, 133)]:  # odd and even row counts at every stage
        x = photo_like(*size, dtype=torch.float64).requires_grad_()
        results = []
        for strip_bytes in (1 << 40, 1 << 14):  # one strip, and as many as can be
            monkeypatch.setattr(strips_module, "CPU_STRIP_BYTES", strip_bytes)
            features = metric.encode_image(x)
            results.append((features.detach(), torch.autograd.grad(features[0, :9].sum(), x)[0]))
        torch.testing.assert_close(results[0], results[1], atol=1e-12, rtol=1e-9)  # summation order only


def test_made_under_inference_mode_still_has_gradients(seeded_weights, images):
    with torch.inference_mode():  # the towers are built here, as no other metric has this activation
        metric = CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=False)
        metric(images)
    assert grad_of(metric, images).norm() > 0


# Frozen


def test_owns_no_tensors(metric):
    assert not list(metric.parameters()) and not list(metric.buffers()) and not metric.state_dict()


def test_equal_towers_are_held_once_and_freed_with_their_last_metric(metric, images):
    def tower(metric, dtype=torch.float32):
        metric(images)
        return weakref.ref(metric.clip.image_tower(images.device, dtype))

    assert tower(metric)() is tower(like(metric, prompts="sharpness"))()
    low = like(metric, precision="bf16")
    towers = tower(metric), tower(low, torch.bfloat16)
    del low
    gc.collect()
    assert [each() is None for each in towers] == [False, True]


def test_copies_share_and_pickles_are_small(metric, images):
    expected = metric(images)
    for clone in (copy.deepcopy(metric), copy.copy(metric)):
        assert clone.clip is metric.clip and torch.equal(clone(images), expected)
    written = pickle.dumps(metric)
    assert len(written) < 10_000
    assert torch.equal(pickle.loads(written)(images), expected)


@pytest.mark.slow
def test_spawned_processes_can_use_it():
    metric = CLIPIQA(backbone="mini")
    image = torch.full((1, 3, 40, 40), 0.25)
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(metric, [image])
    assert_close(metric(image), there, atol=1e-6)


def test_says_which_clipiqa_it_is(metric):
    text = repr(metric)
    for part in ("RN50", metric.clip.weights.sha256[:8], "none", "Good photo.|Bad photo.", "fp32"):
        assert part in text
    assert json.loads(json.dumps(metric.provenance())) == metric.provenance()


# Bad input


def test_images_of_another_form_are_refused(metric):
    shapes = (3, 64, 64), (1, 64, 64, 3), (1, 4, 64, 64), (0, 3, 64, 64), (1, 3, 31, 64)
    good = torch.rand(1, 3, 64, 64)
    odd = good.to(torch.complex64), good.byte(), good.numpy(), "photo.jpg"
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


def test_empty_prompts_and_functions_that_need_arguments_are_refused_in_a_sentence(images):
    metric = CLIPIQA(backbone="mini")
    assert "`prompts` are empty" in refused(metric, images, QuestionsByColumn())
    for factory in (partial(getattr, metric), torch.nn.Linear, metric.load_prompts):
        assert "without arguments" in refused(net_of, factory)
    assert net_of(partial(CLIPIQA, backbone="mini")).clip is metric.clip


def test_equal_images_of_one_batch_have_equal_scores():
    x = photo_like(256, 256)
    metric = CLIPIQA(backbone="mini").eval()
    for count in (5, 7):
        assert len(metric(x.expand(count, -1, -1, -1)).unique()) == 1
    feature = metric.encode_image(x)
    for count in range(2, 40):  # the order of sums depends on the length of a batch
        assert len(metric.score(feature.repeat(count, 1)).unique()) == 1


def test_the_precision_cannot_be_changed(metric):
    """Provenance would name another one than the scores have."""
    with pytest.raises(AttributeError):
        metric.precision = "bf16"
    assert metric.precision == "fp32"
