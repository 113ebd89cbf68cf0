"""Learned prompts: parity with pyiqa's built-in ``clipiqa+``, gradients, what is remembered, and what is refused."""

import pytest
import torch
from assertions import refused
from tensors import assert_close, normal, uniform
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip import text as text_tower
from clipiqa_pyiqa.clip.tokenizer import tokenize
from clipiqa_pyiqa.prompts.files import PUBLISHED

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


def test_a_missing_published_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "ViT-L/14" in refused(CLIPIQA, "clipiqa+_vitL14_512", "mini")  # not its pos_embedding, which nobody gave
    monkeypatch.setitem(PUBLISHED, "clipiqa+", PUBLISHED["clipiqa+"]._replace(backbone="mini"))
    assert "603f3273" in refused(CLIPIQA, "clipiqa+", "mini")


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
