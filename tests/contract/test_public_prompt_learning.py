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

from clipiqa_pyiqa import CLIPIQA, save_prompt_file

SCORE_TOLERANCE = 2e-5  # features differ by 2e-6 (other matrix shapes), times the logit scale, times the slope


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
