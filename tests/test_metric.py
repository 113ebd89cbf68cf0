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
from tensors import assert_close

from clipiqa_pyiqa import CLIPIQA
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


def test_columns_average_what_they_say(metric, images):
    questions = ["sharpness", "pyiqa", ("Crisp photo.", "Hazy photo.")]
    columns = parse_questions(questions)
    features = metric.encode_image(images)
    asked = metric.score(features, columns)
    singly = [metric.score(features, question) for question in questions]
    assert_close(asked, torch.cat(singly, dim=1), atol=1e-6)  # digits of fp32
    assert torch.equal(metric(images, columns), asked)
    refused(metric.score, features, columns, aggregate="mean")


# Invariants


def test_strips_are_exact(metric, monkeypatch):
    for size in [(75, 54), (64, 40), (49, 133)]:  # odd and even row counts at every stage
        x = photo_like(*size, dtype=torch.float64).requires_grad_()
        results = []
        for strip_bytes in (1 << 40, 1 << 14):  # one strip, and as many as can be
            monkeypatch.setattr(strips_module, "CPU_STRIP_BYTES", strip_bytes)
            features = metric.encode_image(x)
            results.append((features.detach(), torch.autograd.grad(features[0, :9].sum(), x)[0]))
        torch.testing.assert_close(results[0], results[1], atol=1e-12, rtol=1e-9)  # summation order only


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


def test_says_which_clipiqa_it_is(metric):
    text = repr(metric)
    for part in ("RN50", metric.clip.weights.sha256[:8], "none", "Good photo.|Bad photo.", "fp32"):
        assert part in text
    assert json.loads(json.dumps(metric.provenance())) == metric.provenance()


# Bad input


def test_no_columns_and_functions_that_need_arguments_are_refused_in_a_sentence(images):
    metric = CLIPIQA(backbone="mini")
    assert "`prompts` are empty" in refused(metric, images, QuestionsByColumn())
    for factory in (partial(getattr, metric), torch.nn.Linear, metric.load_prompts):
        assert "without arguments" in refused(net_of, factory)
    assert net_of(partial(CLIPIQA, backbone="mini")).clip is metric.clip


def test_the_precision_cannot_be_changed(metric):
    """Provenance would name another one than the scores have."""
    with pytest.raises(AttributeError):
        metric.precision = "bf16"
    assert metric.precision == "fp32"
