"""Exactness: the same weights through our code and through ``pyiqa.archs.clip_model``.

That module is bit-equal to the official code and to piq, so parity with it is parity with all three. Features and
scores are compared in fp32; gradients in float64, where two correct implementations agree to rounding, and in fp32,
where the signs of ReLUs close to zero differ even between two memory layouts of the same code.
"""

import open_clip
import pytest
import torch
from photos import photo_like
from reference import Reference
from safetensors.torch import load_file
from torch import nn

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.images.reader import read_image

FEATURE_TOLERANCE = 2e-6  # fp32 rounding of 50 layers, summed in another order
SCORE_TOLERANCE = 2e-5  # a feature difference of 2e-6, times CLIP's logit scale (100), times the sigmoid's slope

SIZES = [(224, 224), (97, 131), (33, 250), (32, 32), (613, 419)]
"""Height and width: CLIP's own, odd, narrow, the smallest, portrait and large enough to be cut in strips."""


@pytest.fixture(scope="module")
def rn50(seeded_weights):
    return seeded_weights("RN50")


@pytest.fixture(scope="module")
def metric(rn50):
    return CLIPIQA(clip_weights=rn50, quick_gelu=True)


@pytest.fixture(scope="module")
def reference(rn50):
    return Reference(rn50)


@pytest.fixture(scope="module")
def reference64(rn50):
    return Reference(rn50, torch.float64)


@pytest.fixture(scope="module")
def real_photos(shared, request):
    """Three photos and the longer side to which they are shrunk; the long form has every tenth, and all of the wild."""
    found = [*sorted((shared / "data/photos").glob("*.jpg"))[::10], *sorted((shared / "data/in_the_wild").glob("*"))]
    return [(path, None) for path in found] if request.config.getoption("long") else [(p, 448) for p in found[::3]]


@pytest.mark.parametrize("pos_embedding", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_features_and_scores_equal_pyiqas(metric, reference, size, pos_embedding):
    x = photo_like(*size)
    ours = CLIPIQA(clip_weights=metric.clip.weights.path, quick_gelu=True, pos_embedding=pos_embedding)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.encode_image(x), reference.features(x, pos_embedding), atol=FEATURE_TOLERANCE, rtol=0
        )
        expected = reference(x, ["Good photo.", "Bad photo."], pos_embedding)
        torch.testing.assert_close(ours(x), expected, atol=SCORE_TOLERANCE, rtol=0)


def test_scores_of_real_photos_equal_pyiqas(metric, reference, real_photos):
    for path, side in real_photos:
        x = read_image(path, max_side=side).pixels[None] / 255
        with torch.no_grad():
            torch.testing.assert_close(
                metric.encode_image(x),
                reference.features(x),
                atol=FEATURE_TOLERANCE,
                rtol=0,
                msg=lambda m, p=path: f"{p.name}: {m}",
            )


@pytest.mark.parametrize("pos_embedding", [False, True])
def test_gradients_equal_pyiqas_in_float64(metric, reference64, pos_embedding):
    metric64 = CLIPIQA(clip_weights=metric.clip.weights.path, quick_gelu=True, pos_embedding=pos_embedding)
    pairs = metric64.encode_prompts(dtype=torch.float64)
    for size in [(75, 113), (200, 150)]:
        x = photo_like(*size, dtype=torch.float64).requires_grad_()
        (ours,) = torch.autograd.grad(metric64(x).sum(), x)
        (expected,) = torch.autograd.grad(reference64.score64(x, pairs, pos_embedding).sum(), x)
        assert (ours - expected).norm() <= 1e-8 * expected.norm()  # rounding only: no sign flips at this precision


def test_the_pyiqa_preset_equals_pyiqas_class(full_rn50, monkeypatch):
    """The built-in class itself, not a reassembly; only where it gets its weights from is replaced."""
    pytest.importorskip("clip", reason="pyiqa's built-in needs openai's clip, which needs setuptools<82")
    import pyiqa
    from pyiqa.archs import clip_model, clipiqa_arch

    monkeypatch.setattr(
        clipiqa_arch, "load", lambda name, device: clip_model.build_model(load_file(full_rn50)).to(device).float()
    )
    built_in = pyiqa.create_metric("clipiqa", type="CLIPIQA_builtin", device="cpu")
    ours = pyiqa.create_metric("clipiqa", clip_weights=full_rn50, quick_gelu=True, prompts="pyiqa", device="cpu")
    assert type(built_in.net) is clipiqa_arch.CLIPIQA and isinstance(ours.net, CLIPIQA)
    x = photo_like(250, 333)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), built_in(x), atol=SCORE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("pos_embedding", [False, True])
def test_vision_transformers_equal_pyiqas(seeded_weights, pos_embedding):
    path = seeded_weights("ViT-B/32")
    ours = CLIPIQA(backbone="ViT-B/32", clip_weights=path, quick_gelu=True, pos_embedding=pos_embedding)
    reference = Reference(path)
    for size in [(224, 224), (100, 333)]:
        x = photo_like(*size)
        with torch.no_grad():
            expected = reference.features(x, pos_embedding)
            torch.testing.assert_close(ours.encode_image(x), expected, atol=FEATURE_TOLERANCE, rtol=0)
            expected = reference(x, ["Good photo.", "Bad photo."], pos_embedding)
            torch.testing.assert_close(ours(x), expected, atol=SCORE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("backbone", ["RN50", "ViT-B/32"])
def test_fixed_positional_embedding_scores_clips_own_input(seeded_weights, backbone):
    """A 224 px square is CLIP's own input, so there it must equal open_clip's model, embedding and all."""
    path = seeded_weights(backbone)
    name = {"RN50": "RN50-quickgelu", "ViT-B/32": "ViT-B-32-quickgelu"}[backbone]
    model = open_clip.create_model(name).eval()
    model.load_state_dict(load_file(path))
    ours = CLIPIQA(backbone=backbone, clip_weights=path, quick_gelu=True, pos_embedding="fixed")
    x = photo_like(224, 224)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ours.clip.weights.mean, ours.clip.weights.std))
    with torch.no_grad():
        expected = model.encode_image((x - mean) / std, normalize=True)
        torch.testing.assert_close(ours.encode_image(x), expected, atol=FEATURE_TOLERANCE, rtol=0)


def test_texts_without_padding_have_the_same_features(metric, reference):
    """Positions after the end-of-text token cannot change a causal tower's output."""
    texts = ["Good photo.", "Bad photo.", "There is high quality in the photo, and also much else."]
    with torch.no_grad():
        expected = nn.functional.normalize(reference.clip.encode_text(open_clip.tokenizer.SimpleTokenizer()(texts)))
    torch.testing.assert_close(metric.clip.encode_texts(texts), expected, atol=FEATURE_TOLERANCE, rtol=0)
