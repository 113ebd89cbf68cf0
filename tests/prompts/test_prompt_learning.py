"""Learned prompts: parity with pyiqa's built-in ``clipiqa+``, gradients, what is remembered, and what is refused."""

import copy
import pickle

import pyiqa
import pytest
import torch
from assertions import refused
from reference import builtin_module
from tensors import assert_close, normal, uniform
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip import text as text_tower
from clipiqa_pyiqa.clip.tokenizer import tokenize
from clipiqa_pyiqa.prompts.files import PUBLISHED, save_prompt_file

SCORE_TOLERANCE = 2e-5  # features differ by 2e-6 (other matrix shapes), times the logit scale, times the slope
GRADIENT_TOLERANCE = 1e-4  # relative, L2: fp32 through twelve layers, with image features equal on both sides


@pytest.fixture(scope="module")
def images():
    return uniform(2, 3, 64, 96, seed=1)


def fresh(**options):
    return CLIPIQA("clipiqa+", "mini", pretrained=False, **options)


@pytest.fixture
def metric():
    """One with a context of its own, as if it had been trained."""
    metric = fresh()
    metric.prompt_learner.ctx.data += 0.02 * normal(2, 16, 64)
    return metric.eval()


@pytest.fixture
def features(metric):
    return F.normalize(normal(3, metric.clip.width), dim=-1)


@pytest.mark.parametrize(
    "name, backbone, pos_embedding, shared",
    [
        ("clipiqa+", "RN50", False, True),
        pytest.param("clipiqa+_rn50_512", "RN50", True, False, marks=pytest.mark.long),
        pytest.param("clipiqa+_vitL14_512", "ViT-B/32", True, False, marks=pytest.mark.long),
    ],
)
def test_scores_equal_pyiqas(seeded_weights, monkeypatch, tmp_path, name, backbone, pos_embedding, shared, images):
    """Same weights, same ctx: the built-in class itself."""
    weights = seeded_weights(backbone)
    built_in = builtin_module(monkeypatch, weights).CLIPIQA(
        name, backbone, pretrained=False, pos_embedding=pos_embedding
    )
    ctx = built_in.prompt_learner.ctx
    start = ctx.data[0] if shared else ctx.data
    ctx.data = start + 0.02 * normal(start.shape)
    torch.save({"params": built_in.state_dict()}, tmp_path / "prompts.pth")
    options = {"backbone": backbone, "clip_weights": weights, "pretrained_model_path": tmp_path / "prompts.pth"}
    ours = pyiqa.create_metric(name, device="cpu", **options).net
    assert isinstance(ours, CLIPIQA)
    assert_close(ours.state_dict(), built_in.state_dict(), atol=0)
    with torch.no_grad():
        assert_close(ours(images), built_in(images), atol=SCORE_TOLERANCE)


def test_prompts_equal_those_of_all_77_positions():
    """Against a reassembly that pads to 77 and knows nothing of where texts end, for any pair and n_ctx."""
    for n_ctx in [1, 5, 16]:
        for pair in ["quality", ("Sharp edges.", "Blurry.")]:
            metric = fresh(context={"n_ctx": n_ctx, "init": "random"}, prompts=pair)
            learner = metric.prompt_learner.train()
            tower = metric.clip.text_tower(torch.device("cpu"), torch.float32)
            tokens = tokenize([f"{' '.join(['x'] * n_ctx)} {text}." for text in learner.pair.texts])
            prompts = []
            for row, ids, vectors in zip(tower.vocabulary[tokens], tokens, learner.ctx, strict=True):
                words = int(ids.argmax()) - 1 - n_ctx
                start = row[:1]
                suffix = row[1 + n_ctx :]
                half = n_ctx // 2
                prompts.append(torch.cat([start, vectors[:half], suffix[:words], vectors[half:], suffix[words:]]))
            x = tower.norm(tower.transformer(torch.stack(prompts) + tower.positional_embedding, is_causal=True))
            expected = F.normalize(x[torch.arange(2), tokens.argmax(dim=1)] @ tower.projection, dim=-1)
            ours = learner()[0]
            assert_close(ours, expected, atol=2e-6)  # rounding of other matrix shapes
            weights = normal(ours.shape, seed=2)
            (grad,) = torch.autograd.grad((ours * weights).sum(), learner.ctx)
            (expected_grad,) = torch.autograd.grad((expected * weights).sum(), learner.ctx)
            assert (grad - expected_grad).norm() <= GRADIENT_TOLERANCE * expected_grad.norm()


def test_prompts_are_encoded_once_in_evaluation_and_each_time_in_training(metric, features, images, monkeypatch):
    calls = []
    encode = text_tower.TextTower.encode
    monkeypatch.setattr(text_tower.TextTower, "encode", lambda self, *args: calls.append(1) or encode(self, *args))
    with torch.inference_mode():
        scores = [metric.score(features) for _ in range(3)]
    scores.append(metric.score(features))  # gradients on: still no second pass
    assert len(calls) == 1 and all(torch.equal(score, scores[0]) for score in scores)
    x = images.clone().requires_grad_()
    metric(x).sum().backward()  # remembered in inference mode, it serves a loss
    assert x.grad.abs().sum() > 0 and len(calls) == 2  # the backward pass encodes again, for the prompts' gradient
    metric.train()
    for _ in range(2):
        metric.score(features)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda metric, ctx: metric.prompt_learner.ctx.data.copy_(ctx),  # in place, as an optimizer does
        lambda metric, ctx: setattr(metric.prompt_learner.ctx, "data", ctx),
        lambda metric, ctx: metric.load_state_dict({**metric.state_dict(), "prompt_learner.ctx": ctx}),
    ],
)
def test_changed_prompts_change_the_next_score(metric, features, change):
    """Whatever changes the prompts, the next score is that of a metric which never remembered anything."""
    ctx = metric.prompt_learner.ctx.data
    other = fresh().eval()
    with torch.no_grad():
        before = metric.score(features)
        change(metric, ctx + torch.linspace(-0.1, 0.1, ctx.numel()).view_as(ctx))  # layer norms take constants away
        other.load_state_dict(metric.state_dict())
        after = metric.score(features)
        assert not torch.equal(after, before) and torch.equal(after, other.score(features))


def test_without_learned_prompts_there_is_no_score(images):
    metric = fresh().eval()
    refused(metric, images)
    assert metric(images, prompts="sharpness").shape == (2, 1)  # a question of its own words needs none
    assert metric.train()(images).shape == (2, 1)  # how training starts
    assert "from scratch" in repr(metric)


def test_a_missing_published_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "ViT-L/14" in refused(CLIPIQA, "clipiqa+_vitL14_512", "mini")  # not its pos_embedding, which nobody gave
    monkeypatch.setitem(PUBLISHED, "clipiqa+", PUBLISHED["clipiqa+"]._replace(backbone="mini"))
    assert "603f3273" in refused(CLIPIQA, "clipiqa+", "mini")


def test_impossible_contexts_are_refused():
    contexts = [{"context": context} for context in ({"n_ctx": 0}, {"n_ctx": 74}, {"init": "zeros"})]
    for options in (*contexts, {"prompts": ["sharpness", "quality"]}):
        refused(fresh, **options)
    refused(CLIPIQA(backbone="mini").load_prompts, "x.pth")  # a metric without a context


def test_state_dict_of_any_shape_loads_strictly(features):
    for context in [{"n_ctx": 7, "shared": True}, {"n_ctx": 4}]:
        source = fresh(context=context)
        target = fresh()
        optimized = target.prompt_learner.ctx
        target.load_state_dict(source.state_dict(), strict=True)
        assert target.prompt_learner.ctx is optimized  # an optimiser that holds it goes on training it
        assert torch.equal(target.train().score(features), source.train().score(features))
        assert [name for name, _ in target.named_parameters()] == ["prompt_learner.ctx"]  # nothing else is trained


def test_random_context_is_seeded():
    def context(seed):
        torch.manual_seed(seed)
        return fresh(context={"init": "random", "n_ctx": 64, "shared": True}).prompt_learner.ctx

    assert torch.equal(context(3), context(3)) and not torch.equal(context(3), context(4))
    assert context(3).std().item() == pytest.approx(0.02, rel=0.05)  # 4,096 draws: within a few per cent


def test_words_learn_whole_texts_that_begin_as_the_pair(features):
    """As in the paper: before any training, the scores are those of the pair; then every token may change."""
    for pair in ("quality", "contrast"):
        metric = fresh(prompts=pair, context={"init": "words"}).train()
        with torch.no_grad():
            assert_close(metric.score(features), metric.score(features, pair), atol=SCORE_TOLERANCE)
        tokens = tokenize(metric.prompts[0].texts)
        number = int(tokens[0].argmax()) - 1
        assert torch.equal(metric.prompt_learner.ctx, metric.clip.vocabulary[tokens[:, 1 : number + 1]].float())
        metric.score(features).sum().backward()
        assert (metric.prompt_learner.ctx.grad.norm(dim=-1) > 0).all()


def test_words_go_through_files(features, tmp_path):
    metric = fresh(prompts="sharpness", context={"init": "words"})
    metric.prompt_learner.ctx.data += 0.02 * normal(2, 3, 64)
    expected = metric.eval().score(features)
    for name, prompts in (("mine.safetensors", None), ("mine.pth", "sharpness")):
        save_prompt_file(metric.prompt_learner, tmp_path / name)
        loaded = CLIPIQA("clipiqa+", "mini", pretrained_model_path=tmp_path / name, prompts=prompts)
        assert torch.equal(loaded.eval().score(features), expected)
        assert "ctx 2×3×64 that began as Sharp photo.|Blurry photo." in repr(loaded)
    loaded.load_state_dict(fresh(prompts="sharpness").state_dict())
    assert "around Sharp photo..|Blurry photo.." in repr(loaded)


def test_words_refuse_what_they_decide_themselves():
    for more in ({"n_ctx": 16}, {"shared": True}):
        assert next(iter(more)) in refused(fresh, context={"init": "words", **more})
    assert "has 3 and 'Not aesthetic photo.' has 4" in refused(fresh, context={"init": "words"}, prompts="aesthetic")


def test_copies_of_a_metric_are_equal_and_independent(metric, features):
    score = metric.score(features)
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert torch.equal(twin.score(features), score)
        twin.prompt_learner.ctx.data += 0.1
        assert not torch.equal(twin.score(features), score) and torch.equal(metric.score(features), score)
        assert twin.provenance()["scores"] != metric.provenance()["scores"]
    assert "trained here" in repr(metric) and "Good photo..|Bad photo.." in repr(metric)


def test_learned_prompts_score_in_float64_and_ignore_autocast(metric, images):
    with torch.no_grad():
        expected = metric(images)
        assert metric(images.double()).dtype == torch.float64
        assert_close(metric(images.double()).float(), expected, atol=SCORE_TOLERANCE)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(metric(images), expected)
