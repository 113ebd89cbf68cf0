"""Files of learned prompts: every format that is around, our own, and what must be refused."""

import json
import logging

import pyiqa
import pytest
import torch
from assertions import refused
from safetensors import safe_open
from tensors import normal

from clipiqa_pyiqa import CLIPIQA, save_prompt_file

WIDTH = 64  # of mini's texts

CTX = normal(2, 16, WIDTH) * 0.02


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


def official(metric):
    """As mmediting's runner writes it: the prompts among the state of everything else, and half precision."""
    others = {"generator.clipmodel_0.logit_scale": torch.tensor(4.6), "step_counter": torch.tensor([80000])}
    prompts = {f"generator.clipmodel_0.{name}": value.half() for name, value in state(metric, CTX[0]).items()}
    return {"meta": {"iter": 80000}, "state_dict": {**others, **prompts}, "optimizer": {}}


FORMATS = {
    "bare tensor": lambda metric: CTX,
    "bare, of another length": lambda metric: CTX[:, :4],
    "bare shared parameter": lambda metric: torch.nn.Parameter(CTX[0]),
    "pyiqa": lambda metric: {"params": state(metric)},
    "from DDP": lambda metric: {"params": {f"module.{name}": value for name, value in state(metric).items()}},
    "official": official,
    "official, ctx alone": lambda metric: {"state_dict": {"generator.clipmodel_0.prompt_learner.ctx": CTX[0]}},
}

EXPECTED_CONTEXTS = {  # the others give CTX
    "bare, of another length": CTX[:, :4],
    "bare shared parameter": CTX[0],
    "official": CTX[0],
    "official, ctx alone": CTX[0],
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_prompts_is_loaded(metric, tmp_path, name):
    torch.save(FORMATS[name](metric), tmp_path / "prompts.pth")
    metric.load_prompts(tmp_path / "prompts.pth")
    expected = EXPECTED_CONTEXTS.get(name, CTX)
    tolerance = 1e-4 if name == "official" else 0  # half precision in the file
    torch.testing.assert_close(metric.prompt_learner.ctx.data, expected, atol=tolerance, rtol=0)
    assert metric.prompt_learner.ctx.dtype == torch.float32 and metric.prompts[0].positive == "Good photo."
    metric.prompt_learner.ctx.data += 0.1
    assert "from prompts.pth, trained here" in repr(metric)


def test_metadata_that_are_no_texts_are_written_as_json(learned, tmp_path):
    """0.123456789 was rounded to 0.123457, and None became none."""
    path = tmp_path / "mine.safetensors"
    facts = {"srocc": 0.123456789, "test": None, "split": "ä"}
    save_prompt_file(learned.prompt_learner, path, facts)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["srocc"]) == facts["srocc"]
    assert json.loads(metadata["test"]) is None
    assert metadata["split"] == "ä"


def test_pth_is_for_pyiqas_own_load_weights(learned, tmp_path):
    save_prompt_file(learned.prompt_learner, tmp_path / "mine.pth")
    theirs = pyiqa.create_metric("clipiqa+", device="cpu", pretrained=False, backbone="mini")
    theirs.load_weights(str(tmp_path / "mine.pth"))
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(theirs(x), learned(x))


def test_a_file_with_bad_content_is_refused(metric, tmp_path):
    tokens = state(metric)
    start = "prompt_learner.token_prefix"
    words = "prompt_learner.token_suffix"
    before = metric.prompt_learner.ctx.clone()
    for content in (
        {"params": {"weight": torch.ones(3)}},
        torch.ones(3, 16, WIDTH),
        torch.ones(0, WIDTH),
        torch.ones(16, WIDTH, dtype=torch.int64),
        torch.ones(2, 16, 768),
        torch.ones(73, WIDTH),  # more than CLIP's 77 with the words
        torch.full((16, WIDTH), torch.nan),
        {"params": tokens | {"prompt_learner.ctx": CTX[:, :8]}},  # tokens of another length, another CLIP, other words
        {"params": tokens | {start: tokens[start] + 1}},
        {"params": tokens | {words: tokens[words].flip(1)}},
    ):
        torch.save(content, tmp_path / "bad.pth")
        assert "bad.pth" in refused(metric.load_prompts, tmp_path / "bad.pth")
        assert torch.equal(metric.prompt_learner.ctx, before)
    refused(metric.eval(), torch.rand(1, 3, 64, 64))  # a failed load leaves nothing that passes for learned


def test_another_context_than_that_of_the_file_is_refused(learned, tmp_path):
    """It was ignored."""
    path = tmp_path / "mine.safetensors"
    save_prompt_file(learned.prompt_learner, path)
    for context in ({"n_ctx": 4}, {"shared": True}):
        assert "n_ctx=16 and shared=False" in refused(CLIPIQA, "clipiqa+", pretrained_model_path=path, context=context)
    CLIPIQA("clipiqa+", pretrained_model_path=path, context={"n_ctx": 16})


def test_the_origin_of_a_context_from_a_state_is_unknown(learned):
    """It was recorded as trained here, from scratch."""
    (record,) = learned.provenance()["scores"].values()
    assert record["learned"]["from"] is None and record["learned"]["trained"] is None
    assert "(origin unknown; ctx 2×16×64 around" in repr(learned)


def test_another_backbone_and_positional_embedding_are_named_from_the_metadata(learned, tmp_path, caplog):
    save_prompt_file(learned.prompt_learner, tmp_path / "vit.safetensors", {"backbone": "ViT-B/32"})
    refused(learned.load_prompts, tmp_path / "vit.safetensors")
    save_prompt_file(learned.prompt_learner, tmp_path / "mine.safetensors", {"pos_embedding": "interpolate"})
    with caplog.at_level(logging.WARNING, "clipiqa_pyiqa"):
        learned.load_prompts(tmp_path / "mine.safetensors")
    assert "'interpolate'" in caplog.text


def test_metadata_do_not_replace_what_tells_the_format_and_the_weights(learned, tmp_path):
    """The file was saved without a word, and could not be loaded."""
    for name in ("format", "weights_sha256"):
        said = refused(save_prompt_file, learned.prompt_learner, tmp_path / "mine.safetensors", {name: "0"})
        assert repr(name) in said
    assert not list(tmp_path.iterdir())


def test_prompts_that_were_not_learned_are_not_saved(metric, tmp_path):
    refused(save_prompt_file, metric.prompt_learner, tmp_path / "x.safetensors")
    metric.load_state_dict(state(metric))
    refused(save_prompt_file, metric.prompt_learner, tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())
