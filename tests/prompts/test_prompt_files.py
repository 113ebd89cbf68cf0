"""Files of learned prompts: every format that is around, our own, and what must be refused."""

import hashlib
import json
from dataclasses import replace

import pyiqa
import pytest
import torch
from assertions import refused
from metrics import save_head
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensors import normal
from weights_fakes import Trap

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.prompts.files import FORMAT, PUBLISHED, save_prompt_file
from clipiqa_pyiqa.prompts.head import content_checksum
from clipiqa_pyiqa.weights import finding, published
from clipiqa_pyiqa.weights.published import PYIQA_FILES

WIDTH = 64  # of mini's texts
CTX = normal(2, 16, WIDTH) * 0.02
KEYS = {f"prompt_learner.{name}" for name in ("ctx", "token_prefix", "token_suffix")}


@pytest.fixture
def metric():
    """One without learned prompts."""
    return CLIPIQA("clipiqa+", "mini", pretrained=False)


@pytest.fixture
def learned(metric):
    metric.load_state_dict(state(metric))
    return metric.eval()


def state(metric, ctx=CTX):
    return {**metric.state_dict(), "prompt_learner.ctx": ctx}


def save_with(metric, path, fields):
    """Write learned prompts with other metadata, as a file with a right checksum."""
    save_prompt_file(metric.prompt_learner, path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    metadata |= {name: text if isinstance(text, str) else json.dumps(text) for name, text in fields.items()}
    tensors = load_file(path)
    save_file(tensors, path, {**metadata, "sha256": content_checksum(tensors, metadata)})


def test_a_saved_file_holds_its_words(tmp_path):
    metric = CLIPIQA("clipiqa+", "mini", pretrained=False, prompts=("Sharp photo.", "Blurry one."))
    metric.load_state_dict(state(metric))
    path = tmp_path / "mine.safetensors"
    save_prompt_file(metric.prompt_learner, path, {"pos_embedding": "none", "scores": {"srocc": 0.9}})
    assert path.stat().st_size < 500_000  # prompts only, no CLIP
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert set(file.keys()) == KEYS
    assert metadata["weights_sha256"] == metric.clip.weights.sha256
    expected = {"format": FORMAT, "backbone": "mini", "scores": '{"srocc": 0.9}', "n_ctx": "16", "shared": "false"}
    assert {**expected, "base_negative": "Blurry one.", "class_position": "middle"}.items() <= metadata.items()
    twin = CLIPIQA("clipiqa+", pretrained_model_path=path)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(twin.eval()(x), metric.eval()(x)) and twin.prompts == metric.prompts
    refused(CLIPIQA, "clipiqa+", pretrained_model_path=path, prompts="sharpness")
    refused(CLIPIQA("clipiqa+", "mini", pretrained=False).load_state_dict, metric.state_dict())


def test_published_names_are_found_by_their_published_file(tmp_path, monkeypatch):
    """The published files' names carry the first digits of their hash: stand-ins have another."""
    for name, content in (("clipiqa+", CTX[0]), ("clipiqa+_rn50_512", {"prompt_learner.ctx": CTX})):
        path = tmp_path / PUBLISHED[name].file
        torch.save(content, path)
        monkeypatch.setitem(PYIQA_FILES, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(backbone="mini"))
    monkeypatch.setattr("clipiqa_pyiqa.clip.model.FrozenCLIP.has_positions", True)
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(tmp_path))
    for name, ctx, pos_embedding in (("clipiqa+", CTX[0], "none"), ("clipiqa+_rn50_512", CTX, "interpolate")):
        net = pyiqa.create_metric(name, device="cpu", backbone="mini").net
        assert torch.equal(net.prompt_learner.ctx, ctx)
        assert net.pos_embedding == pos_embedding and f"from {PUBLISHED[name].file}" in repr(net)


def test_nothing_pickled_is_executed(metric, tmp_path):
    torch.save({"params": state(metric), "meta": Trap(tmp_path / "a")}, tmp_path / "x.pth")
    refused(metric.load_prompts, tmp_path / "x.pth")
    assert not (tmp_path / "a").exists()


def test_a_file_that_cannot_be_loaded_leaves_the_metric_as_it_was(learned, tmp_path):
    """A damaged file renamed the column; one with other words also removed the head."""
    damaged = tmp_path / "damaged.pth"
    other_words = tmp_path / "other words.pth"
    torch.save({"params": {"weight": torch.ones(3)}}, damaged)
    sharp = CLIPIQA("clipiqa+", "mini", pretrained=False, prompts="sharpness")
    torch.save({"params": sharp.state_dict()}, other_words)
    save_prompt_file(learned.prompt_learner, tmp_path / "mine.safetensors")
    save_head(learned, tmp_path / "head.safetensors")
    x = torch.rand(1, 3, 64, 64)
    for name in ("mine", "head"):
        learned.load_prompts(tmp_path / f"{name}.safetensors")
        expected = learned(x)
        for path in (damaged, other_words):
            refused(learned.load_prompts, path)
            assert learned.columns == (name,)
            assert list(learned.provenance()["scores"]) == [name]
            assert torch.equal(learned(x), expected)


def test_prompts_of_a_file_without_words_get_those_of_the_metric_whatever_was_loaded_before(learned, tmp_path):
    """After a head, they were put around the head's words."""
    save_prompt_file(learned.prompt_learner, tmp_path / "quality.pth")
    sharp = CLIPIQA("clipiqa+", "mini", pretrained=False, prompts="sharpness")
    sharp.load_state_dict(state(sharp))
    save_prompt_file(sharp.prompt_learner, tmp_path / "sharp.safetensors")
    save_head(learned, tmp_path / "head.safetensors")
    x = torch.rand(1, 3, 64, 64)
    expected = learned(x)
    for earlier in ("head.safetensors", "sharp.safetensors"):
        learned.load_prompts(tmp_path / earlier)
        assert learned.prompts[0].positive == "Sharp photo."
        learned.load_prompts(tmp_path / "quality.pth")
        assert learned.prompts[0].positive == "Good photo."
        assert torch.equal(learned(x), expected)
    assert "'Good photo.|Bad photo.'" in refused(learned.load_state_dict, sharp.state_dict())


def test_prompts_of_other_weights_of_the_backbone_are_refused(tmp_path, small_compact, caplog):
    """They loaded without a word, and gave other scores."""
    theirs = CLIPIQA("clipiqa+", "mini", clip_weights=small_compact, pretrained=False)
    theirs.load_state_dict({**theirs.state_dict(), "prompt_learner.ctx": normal(*theirs.prompt_learner.ctx.shape)})
    path = tmp_path / "theirs.safetensors"
    save_prompt_file(theirs.prompt_learner, path)
    theirs.load_prompts(path)
    said = refused(CLIPIQA, "clipiqa+", pretrained_model_path=path)
    assert theirs.clip.weights.short in said and "bundled" in said


def test_another_file_of_the_same_published_weights_is_accepted(learned, tmp_path, monkeypatch):
    """As OpenAI's RN50.pt and the hub's open_clip_model.safetensors."""
    path = tmp_path / "mine.safetensors"
    weights = learned.clip.weights
    save_with(learned, path, {"weights_sha256": "0" * 64})
    assert "other weights" in refused(learned.load_prompts, path)
    release = published.published_clip("mini")
    monkeypatch.setattr(finding, "published_clip", lambda *_: replace(release, hub_sha256="0" * 64))
    learned.load_prompts(path)
    assert weights.sha256 == release.sha256


def test_a_file_that_contradicts_itself_or_of_an_unknown_format_is_refused(learned, tmp_path):
    path = tmp_path / "mine.safetensors"
    for fields, named in (
        ({"format": "clipiqa-pyiqa learned prompts 3"}, "prompts 3"),
        ({"format": "other"}, "'other'"),
    ):
        save_with(learned, path, fields)
        assert named in refused(learned.load_prompts, path)
    save_with(learned, path, {"format": "pt"})  # as other programs write
    learned.load_prompts(path)
