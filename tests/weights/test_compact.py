"""The compact format: read like any CLIP, refused in one sentence, and honest about the words it never saw."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from seeded_compact import PROMPTS

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.clip.model import frozen_clip
from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.weights.selection import find_weights

pytestmark = pytest.mark.quick

PHOTO = str(sorted((Path(__file__).parents[2] / "clipiqa_pyiqa/data/photos").glob("*.jpg"))[0])


@pytest.fixture
def metric(compact):
    metric = CLIPIQA(backbone="mini", clip_weights=compact, quick_gelu=True).eval()
    metric.clip._warned.clear()
    metric.clip._text_features.clear()
    return metric


def changed(compact, path, change):
    """A copy of the file with its tensors or metadata changed."""
    tensors = load_file(compact)
    with safe_open(compact, "pt") as file:
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


# The file


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t, m: t.pop("visual.blocks.3.expand.bias"), "visual.blocks.3.expand.bias"),
        (lambda t, m: t.update({"visual.proj.bias": torch.ones(3)}), "complete"),
        (lambda t, m: m.update(architecture="{}"), "stages"),
        (lambda t, m: m.update(format="clipiqa-mini/3"), "format"),
    ],
)
def test_an_incomplete_file_is_refused(compact, tmp_path, change, named):
    path = changed(compact, tmp_path / "x.safetensors", change)
    with pytest.raises(WeightsError, match=named):
        CLIPIQA(backbone="mini", clip_weights=path, quick_gelu=True)(torch.rand(1, 3, 64, 64))


def test_mini_takes_fixed_sizes_but_no_positional_embedding(compact, metric):
    mini = {"backbone": "mini", "clip_weights": compact, "quick_gelu": True}
    with pytest.raises(CLIPIQAError, match="pos_embedding"):
        CLIPIQA(**mini, pos_embedding="interpolate")
    fixed, x = CLIPIQA(**mini, pos_embedding="fixed"), torch.rand(1, 3, 224, 224)
    # 224 px are their own size, where resizing and cropping change nothing but rounding
    torch.testing.assert_close(fixed.encode_image(x), metric.encode_image(x), atol=1e-5, rtol=0)
    assert fixed(torch.rand(1, 3, 20, 300)).shape == (1, 1)


# Text


def test_a_vocabulary_without_rare_words_gives_the_same_features(compact, tmp_path, metric):
    """The rows put back to their places in a whole table, zeros elsewhere."""

    def widen(tensors, metadata):
        table = torch.zeros(49408, tensors["token_embedding.weight"].shape[1], dtype=torch.float16)
        table[json.loads(metadata["token_ids"])] = tensors["token_embedding.weight"]
        tensors["token_embedding.weight"] = table

    texts = ["Good photo.", "A happy dog!", "XX good Photo.."]
    whole = changed(compact, tmp_path / "whole.safetensors", widen)
    weights = find_weights("mini", compact, True)
    other = frozen_clip(replace(weights, path=whole, sha256="0" * 64))
    assert torch.equal(metric.clip.encode_texts(texts), other.encode_texts(texts))
    tokens = torch.tensor([[49406, 0, 1125]])
    assert torch.equal(metric.clip.vocabulary[tokens], other.vocabulary[tokens])
    assert metric.clip.vocabulary[torch.tensor(1125)].any()


def test_unknown_words_are_named_in_one_message(metric, caplog):
    """Whole words, in the order of the prompts, once per word."""
    x = torch.rand(1, 3, 64, 64)
    with caplog.at_level(logging.WARNING, "clipiqa_pyiqa"):
        metric(x, prompts=["quality", "noisiness"])
        assert caplog.text == ""
        metric(x, prompts=["scary", ("Zygomorphic happy photo.", "Sad photo."), "sharpness", "happy"])
        metric(x, prompts=["happy", ("Scary photo.", "Good photo.")])
    (said,) = [record.getMessage() for record in caplog.records]
    assert "mini never saw 'scary', 'peaceful', 'zygomorphic', 'happy', 'sad', so scores of texts with these" in said


# Commands


def test_commands_leave_out_pairs_with_unknown_words(compact, capsys, caplog):
    options = ["--backbone", "mini", "--clip-weights", str(compact), "--quick-gelu", "--max-side", "64", "-q"]
    assert main(["radar", PHOTO, *options]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} == set(PROMPTS)
    assert caplog.text.count("left out") == 1
