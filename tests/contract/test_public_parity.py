"""Exactness: the same weights through our code and through ``pyiqa.archs.clip_model``.

That module is bit-equal to the official code and to piq, so parity with it is parity with all three. Features and
scores are compared in fp32; gradients in float64, where two correct implementations agree to rounding, and in fp32,
where the signs of ReLUs close to zero differ even between two memory layouts of the same code.
"""

import functools
import itertools

import pyiqa
import pytest
import torch
from photos import PHOTOS, photo_like
from reference import Reference, builtin_module
from tensors import assert_close, grad_of

from clipiqa_pyiqa import CLIPIQA, read_image

FEATURE_TOLERANCE = 2e-6  # fp32 rounding of 50 layers, summed in another order

SCORE_TOLERANCE = 2e-5  # a feature difference of 2e-6, times CLIP's logit scale (100), times the sigmoid's slope

SIZES = [(224, 224), (97, 131), (33, 250), (32, 32), (613, 419)]

LONG = "There is high quality in the photo, and also much else."  # ours does not pad a text, theirs does

reference_on = functools.cache(Reference)


@pytest.mark.parametrize(
    "backbone, size, pos_embedding",
    [
        *(("RN50", size, False) for size in [*SIZES[:-1], "photo"]),
        pytest.param("RN50", SIZES[-1], False, marks=pytest.mark.slow),
        ("RN50", SIZES[1], True),
        *(pytest.param("RN50", size, True, marks=pytest.mark.slow) for size in [SIZES[0], *SIZES[2:-1]]),
        *(("ViT-B/32", *each) for each in itertools.product([(224, 224), (100, 333)], [False, True])),
    ],
)
def test_features_and_scores_equal_pyiqas(make, seeded_weights, backbone, size, pos_embedding):
    ours = make(backbone, pos_embedding=pos_embedding)
    reference = reference_on(seeded_weights(backbone))
    x = read_image(PHOTOS[0]).pixels[None] / 255 if size == "photo" else photo_like(*size)
    with torch.no_grad():
        assert_close(ours.encode_image(x), reference.features(x, pos_embedding), atol=FEATURE_TOLERANCE)
        expected = reference(x, ["Good photo.", "Bad photo.", LONG, "Bad photo."], pos_embedding)
        found = ours(x, ["quality", (LONG, "Bad photo.")], None)
        assert_close(found, expected, atol=SCORE_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("pos_embedding", [False, True])
def test_the_score_of_a_single_text_is_the_cosine_of_pyiqas_towers(make, seeded_weights, pos_embedding):
    metric = make("RN50", pos_embedding=pos_embedding, prompts="single:Good photo.")
    reference = reference_on(seeded_weights("RN50"))
    for size in SIZES:
        x = photo_like(*size)
        with torch.no_grad():
            expected = reference.cosines(x, ["Good photo."], pos_embedding)
            assert_close(metric(x), expected, atol=FEATURE_TOLERANCE)


@pytest.mark.parametrize("pos_embedding", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_equal_pyiqas(make, seeded_weights, pos_embedding):
    metric = make("RN50", pos_embedding=pos_embedding)
    reference = reference_on(seeded_weights("RN50"), torch.float64)
    pairs = metric.encode_prompts(dtype=torch.float64)
    for size in [(75, 113), (200, 150)]:
        x = photo_like(*size, dtype=torch.float64)
        expected = grad_of(lambda x: reference.score64(x, pairs, pos_embedding), x)
        assert (
            grad_of(metric, x) - expected
        ).norm() <= 1e-8 * expected.norm()  # rounding only: no sign flips at this precision
        assert (
            grad_of(metric, x.float()) - expected
        ).norm() < 1e-2 * expected.norm()  # ReLUs near zero flip their sign in fp32


def test_the_pyiqa_preset_equals_pyiqas_class(seeded_weights, monkeypatch):
    """The built-in class itself, not a reassembly; only where it gets its weights from is replaced."""
    weights = seeded_weights()
    clipiqa_arch = builtin_module(monkeypatch, weights)
    built_in = pyiqa.create_metric("clipiqa", type="CLIPIQA_builtin", device="cpu")
    ours = pyiqa.create_metric("clipiqa", clip_weights=weights, prompts="pyiqa", device="cpu")
    assert type(built_in.net) is clipiqa_arch.CLIPIQA and isinstance(ours.net, CLIPIQA)
    x = photo_like(250, 333)
    with torch.no_grad():
        assert_close(ours(x), built_in(x), atol=SCORE_TOLERANCE)
