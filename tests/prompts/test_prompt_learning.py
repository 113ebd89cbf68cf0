"""Learned prompts: parity with pyiqa's built-in ``clipiqa+``, gradients, what is remembered, and what is refused."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from metrics import learned
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, PromptError
from clipiqa_pyiqa.clip import text as text_module
from clipiqa_pyiqa.prompts.learned import Context, PromptLearner

SCORE_TOLERANCE = (
    2e-5  # features differ by 2e-6 (other matrix shapes), times the logit scale, times the sigmoid's slope
)
GRADIENT_TOLERANCE = 1e-4  # relative, L2: fp32 through twelve layers, with image features equal on both sides

NAMES = [
    ("clipiqa+", "RN50", False),
    ("clipiqa+_rn50_512", "RN50", True),
    ("clipiqa+_vitL14_512", "ViT-B/32", True),
    pytest.param("clipiqa+_vitL14_512", "ViT-L/14", True, marks=pytest.mark.long),
]


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def count_encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one with every pass through the text tower."""
    calls: list[int] = []
    encode = text_module.TextTower.encode

    def counted(self, *args):
        calls.append(1)
        return encode(self, *args)

    monkeypatch.setattr(text_module.TextTower, "encode", counted)
    return calls


@pytest.fixture(scope="module")
def reference_clip(seeded_weights: Callable[[str], Path]) -> Callable[[str], torch.nn.Module]:
    """``reference_clip('RN50')`` -> pyiqa's own CLIP with the seeded weights."""
    from pyiqa.archs.clip_model import build_model

    return functools.lru_cache(maxsize=1)(lambda name: build_model(load_file(seeded_weights(name))).float())


@pytest.mark.parametrize(("name", "backbone", "pos_embedding"), NAMES)
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_parity_with_the_built_in(
    seeded_weights, reference_clip, monkeypatch, tmp_path, name, backbone, pos_embedding, shared, images
):
    """Same weights, same ctx: the built-in class itself, scores and gradients with respect to ctx."""
    pytest.importorskip("clip", reason="pyiqa's built-in needs openai's clip, which needs setuptools<82")
    import pyiqa
    from pyiqa.archs import clipiqa_arch

    monkeypatch.setattr(clipiqa_arch, "load", lambda name, device: reference_clip(name))
    built_in = clipiqa_arch.CLIPIQA(name, backbone, pretrained=False, pos_embedding=pos_embedding)
    weights = seeded_weights(backbone)
    ctx = built_in.prompt_learner.ctx
    ctx.data = (ctx[0] if shared else ctx).data + 0.02 * torch.randn(
        ctx.shape[1:] if shared else ctx.shape, generator=torch.Generator().manual_seed(0)
    )
    torch.save({"params": built_in.state_dict()}, tmp_path / "prompts.pth")
    options = {"backbone": backbone, "clip_weights": weights, "quick_gelu": True}
    options["pretrained_model_path"] = tmp_path / "prompts.pth"
    ours = pyiqa.create_metric(name, device="cpu", **options).net
    assert isinstance(ours, CLIPIQA)
    assert list(ours.state_dict()) == list(built_in.state_dict())
    assert all(torch.equal(value, built_in.state_dict()[key]) for key, value in ours.state_dict().items())

    with torch.no_grad():
        torch.testing.assert_close(ours(images), built_in(images), atol=SCORE_TOLERANCE, rtol=0)

    features = ours.encode_image(images).detach()  # the same image features on both sides
    theirs = F.normalize(built_in.prompt_learner(built_in.clip_model[0]), dim=-1)
    scale = built_in.clip_model[0].logit_scale.exp()
    theirs = (scale * features @ theirs.T).softmax(dim=-1)[:, :1]
    target = torch.tensor([[0.2], [0.9]])
    (expected,) = torch.autograd.grad(F.mse_loss(theirs, target), built_in.prompt_learner.ctx)
    for mode in (True, False):
        ours.train(mode)
        (grad,) = torch.autograd.grad(F.mse_loss(ours.score(features), target), ours.prompt_learner.ctx)
        assert grad.shape == expected.shape
        assert (grad - expected).norm() <= GRADIENT_TOLERANCE * expected.norm()


@pytest.mark.parametrize("n_ctx", [1, 4, 5, 16])
@pytest.mark.parametrize("pair", [None, ("Sharp edges.", "Blurry.")], ids=["quality", "unequal lengths"])
def test_parity_with_all_77_positions(rn50, reference_clip, n_ctx, pair):
    """Against a reassembly that pads to 77 and knows nothing of where texts end, for any pair and n_ctx."""
    metric = learned(rn50, {"n_ctx": n_ctx}, prompts=pair)
    learner = metric.prompt_learner
    clip = reference_clip("RN50").requires_grad_(False)
    base = [f"{text}." for text in (metric.prompts[0].positive, metric.prompts[0].negative)]
    tokens = open_clip.tokenizer.SimpleTokenizer()([" ".join(["x"] * n_ctx) + " " + text for text in base])
    embedded = clip.token_embedding(tokens)
    ctx = learner.ctx.detach().clone().requires_grad_()
    prompts = []
    for row, ids, vectors in zip(embedded, tokens, ctx, strict=True):
        words = int(ids.argmax()) - 1 - n_ctx
        start, suffix, half = row[:1], row[1 + n_ctx :], n_ctx // 2
        prompts.append(torch.cat([start, vectors[:half], suffix[:words], vectors[half:], suffix[words:]]))
    x = torch.stack(prompts) + clip.positional_embedding
    x = clip.ln_final(clip.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
    expected = F.normalize(x[torch.arange(2), tokens.argmax(dim=1)] @ clip.text_projection, dim=-1)
    ours = learner.train()()[0]
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)  # rounding of other matrix shapes
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (grad,) = torch.autograd.grad((ours * weights).sum(), learner.ctx)
    (expected_grad,) = torch.autograd.grad((expected * weights).sum(), ctx)
    assert (grad - expected_grad).norm() <= GRADIENT_TOLERANCE * expected_grad.norm()


def test_only_the_prompts_are_trainable_and_saved(rn50):
    metric = learned(rn50)
    assert [name for name, _ in metric.named_parameters()] == ["prompt_learner.ctx"]
    shapes = {name: tuple(value.shape) for name, value in metric.state_dict().items()}
    assert shapes == {
        "prompt_learner.ctx": (2, 16, 512),
        "prompt_learner.token_prefix": (2, 1, 512),
        "prompt_learner.token_suffix": (2, 60, 512),
    }


def test_encoded_once_in_evaluation_and_each_time_in_training(rn50, count_encodings):
    metric = learned(rn50).eval()
    features = F.normalize(torch.randn(3, 1024), dim=-1)
    with torch.no_grad():
        scores = [metric.score(features) for _ in range(3)]
    with torch.inference_mode():
        scores.append(metric.score(features))
    scores.append(metric.score(features))  # gradients on: still no second pass
    assert len(count_encodings) == 1
    assert all(torch.equal(score, scores[0]) for score in scores)
    metric.train()
    for _ in range(2):
        metric.score(features)
    assert len(count_encodings) == 3


def test_remembered_in_inference_mode_serves_a_loss_later(rn50, images):
    metric = learned(rn50).eval()
    with torch.inference_mode():
        expected = metric(images)
    x = images.clone().requires_grad_()
    score = metric(x)
    score.sum().backward()
    # 2e-5: where a gradient is wanted, small images share a pass, whose sums are ordered otherwise
    torch.testing.assert_close(score.detach(), expected.clone(), atol=2e-5, rtol=0)
    assert x.grad.abs().sum() > 0


def change_by_optimizer(metric: CLIPIQA) -> None:
    optimizer = torch.optim.SGD(metric.parameters(), lr=0.1)
    metric.prompt_learner.ctx.grad = torch.ones_like(metric.prompt_learner.ctx)
    optimizer.step()


def change_by_data(metric: CLIPIQA) -> None:
    metric.prompt_learner.ctx.data += 0.1


def change_by_new_data(metric: CLIPIQA) -> None:
    metric.prompt_learner.ctx.data = metric.prompt_learner.ctx.data + 0.1


def change_by_state_dict(metric: CLIPIQA) -> None:
    state = {name: value.clone() for name, value in metric.state_dict().items()}
    state["prompt_learner.ctx"] += 0.1
    metric.load_state_dict(state)


def change_words(metric: CLIPIQA) -> None:
    other = learned(metric.clip.weights.path, prompts="sharpness")
    metric.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    "change", [change_by_optimizer, change_by_data, change_by_new_data, change_by_state_dict, change_words]
)
def test_never_stale(rn50, change):
    """Whatever changes the prompts, the next score is that of a metric which never remembered anything."""
    metric = learned(rn50).eval()
    features = F.normalize(torch.randn(3, 1024), dim=-1)
    with torch.no_grad():
        before = metric.score(features)
        change(metric)
        after = metric.score(features)
        fresh = learned(rn50, seed=9).eval()
        fresh.load_state_dict(metric.state_dict())
        assert not torch.equal(after, before)
        assert torch.equal(after, fresh.score(features))


def test_no_learned_prompts_no_score(rn50, images):
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True).eval()
    with pytest.raises(PromptError, match=r"no learned prompts.*load_prompts"):
        metric(images)
    assert metric(images, prompts="sharpness").shape == (2, 1)  # a question of its own words needs none
    assert metric.train()(images).shape == (2, 1)  # how training starts


def test_published_files_that_are_not_there(rn50, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"CLIP-IQA\+_learned_prompts-603f3273.pth"):
        CLIPIQA("clipiqa+", clip_weights=rn50, quick_gelu=True)
    with pytest.raises(PromptError, match="learned on ViT-L/14, but the backbone is RN50"):
        CLIPIQA("clipiqa+_vitL14_512", clip_weights=rn50, quick_gelu=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": {"n_ctxs": 4}}, "did you mean 'n_ctx'"),
        ({"context": {"n_ctx": 0}}, "n_ctx must be between 1 and"),
        ({"context": {"shared": 1}}, "shared must be True or False; got 1"),
        ({"context": {"n_ctx": 74}}, "CLIP reads 77"),
        ({"context": {"init": "zeros"}}, "'x' or 'random'"),
        ({"context": 16}, "must be a Context or a Mapping"),
        ({"prompts": ["sharpness", "quality"]}, "must be one pair of texts"),
    ],
)
def test_options_that_cannot_be(rn50, options, message):
    with pytest.raises(CLIPIQAError, match=message):
        CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True, **options)


def test_zero_shot_takes_no_learned_prompts(rn50):
    with pytest.raises(PromptError, match=r"clipiqa\+"):
        CLIPIQA(clip_weights=rn50, quick_gelu=True).load_prompts("x.pth")
    with pytest.raises(ValueError, match="model_type"):
        CLIPIQA("clipiqa++", clip_weights=rn50, quick_gelu=True)


@pytest.mark.parametrize("context", [{"n_ctx": 7, "shared": True}, {"n_ctx": 4}, {"n_ctx": 16}])
def test_state_dict_of_any_shape_and_words_loads_strictly(rn50, context):
    source = learned(rn50, context, prompts=("High contrast photo.", "Flat photo."))
    target = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)
    optimized = target.prompt_learner.ctx
    target.load_state_dict(source.state_dict(), strict=True)
    assert target.prompt_learner.ctx is optimized  # an optimiser that holds it goes on training it
    assert target.prompts[0].positive == "high contrast photo." and target.prompts[0].negative == "flat photo."
    features = F.normalize(torch.randn(2, 1024), dim=-1)
    assert torch.equal(target.eval().score(features), source.eval().score(features))


def test_prompts_of_another_clip_are_refused(rn50, seeded_weights):
    """Same width, other weights: only the embedded start token tells, and the message names this CLIP."""
    vit = seeded_weights("ViT-B/32")
    other = learned(vit, backbone="ViT-B/32")
    target = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)
    before = target.prompt_learner.ctx.clone()
    with pytest.raises(PromptError, match=r"another CLIP than RN50 \(file RN50.safetensors"):
        target.load_state_dict(other.state_dict())
    assert torch.equal(target.prompt_learner.ctx, before)


def test_random_context_is_seeded(rn50):
    def context(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return PromptLearner(metric.clip, context=Context(init="random", shared=True)).ctx

    metric = CLIPIQA(clip_weights=rn50, quick_gelu=True)
    assert torch.equal(context(3), context(3)) and not torch.equal(context(3), context(4))
    assert context(3).std().item() == pytest.approx(0.02, rel=0.05)  # 8,192 draws: within a few per cent


def test_copies_are_independent_and_equal(rn50):
    metric = learned(rn50).eval()
    features = F.normalize(torch.randn(2, 1024), dim=-1)
    score = metric.score(features)
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert torch.equal(twin.score(features), score)
        twin.prompt_learner.ctx.data += 0.1
        assert not torch.equal(twin.score(features), score) and torch.equal(metric.score(features), score)


def test_provenance_says_which_prompts(rn50):
    metric = learned(rn50)
    assert "trained here" in repr(metric) and "Good photo..|Bad photo.." in repr(metric)
    before = metric.provenance()["scores"]
    metric.prompt_learner.ctx.data += 0.1
    assert metric.provenance()["scores"] != before
    fresh = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)
    assert "not trained" in repr(fresh)


def test_float64_and_autocast(rn50, images):
    metric = learned(rn50).eval()
    with torch.no_grad():
        expected = metric(images)
        assert metric(images.double()).dtype == torch.float64
        torch.testing.assert_close(metric(images.double()).float(), expected, atol=SCORE_TOLERANCE, rtol=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(metric(images), expected)
