"""Exactness: the same weights through our code and through ``pyiqa.archs.clip_model``.

That module is bit-equal to the official code and to piq, so parity with it is parity with all three. Features and
scores are compared in fp32; gradients in float64, where two correct implementations agree to rounding, and in fp32,
where the signs of ReLUs close to zero differ even between two memory layouts of the same code.
"""

import functools

import open_clip
import pytest
import torch
from photos import photo_like
from reference import Reference
from safetensors.torch import load_file
from tensors import assert_close, grad_of

FEATURE_TOLERANCE = 2e-6  # fp32 rounding of 50 layers, summed in another order


reference_on = functools.cache(Reference)


@pytest.mark.parametrize("pos_embedding", [False, True])
@pytest.mark.slow
def test_the_gradient_of_a_single_text_is_that_of_pyiqas_cosine(make, seeded_weights, pos_embedding):
    metric = make("RN50", pos_embedding=pos_embedding, prompts="single:Good photo.")
    reference = reference_on(seeded_weights("RN50"), torch.float64)
    text = metric.clip.encode_texts(["Good photo."], torch.float64)
    x = photo_like(75, 113, dtype=torch.float64)
    expected = grad_of(lambda x: reference.features(x, pos_embedding) @ text.T, x)
    assert (grad_of(metric, x) - expected).norm() <= 1e-8 * expected.norm()  # rounding only


@pytest.mark.parametrize("backbone", ["RN50", "ViT-B/32"])
def test_fixed_positional_embedding_scores_clips_own_input(make, backbone):
    """A 224 px square is CLIP's own input, so there it must equal open_clip's model, embedding and all."""
    ours = make(backbone, pos_embedding="fixed")
    x = photo_like(224, 224)
    model = open_clip.create_model(backbone.replace("/", "-") + "-quickgelu").eval()
    model.load_state_dict(load_file(ours.clip.weights.path))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ours.clip.weights.mean, ours.clip.weights.std))
    with torch.no_grad():
        expected = model.encode_image((x - mean) / std, normalize=True)
        assert_close(ours.encode_image(x), expected, atol=FEATURE_TOLERANCE)
