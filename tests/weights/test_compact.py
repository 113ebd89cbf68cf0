"""The compact format: read like any CLIP, refused in one sentence, and honest about the words it never saw."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import WeightsError

pytestmark = pytest.mark.quick

LOOKS = {"quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast"}
PHOTO = str(sorted((Path(__file__).parents[2] / "clipiqa_pyiqa/data/photos").glob("*.jpg"))[0])


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
    "change",
    [
        lambda t, m: t.pop("visual.blocks.3.expand.bias"),
        lambda t, m: t.update({"visual.proj.bias": torch.ones(3)}),
        lambda t, m: m.update(architecture="{}"),
        lambda t, m: m.update(format="clipiqa-mini/3"),
    ],
)
def test_an_incomplete_file_is_refused(compact, tmp_path, change):
    path = changed(compact, tmp_path / "x.safetensors", change)
    with pytest.raises(WeightsError):
        CLIPIQA(backbone="mini", clip_weights=path, quick_gelu=True)(torch.rand(1, 3, 64, 64))


def test_mini_takes_fixed_sizes_but_no_positional_embedding(metric):
    with pytest.raises(CLIPIQAError):
        CLIPIQA(backbone="mini", pos_embedding="interpolate")
    fixed, x = CLIPIQA(backbone="mini", pos_embedding="fixed"), torch.rand(1, 3, 224, 224)
    # 224 px are their own size, where resizing and cropping change nothing but rounding
    torch.testing.assert_close(fixed.encode_image(x), metric.encode_image(x), atol=1e-5, rtol=0)
    assert fixed(torch.rand(1, 3, 20, 300)).shape == (1, 1)


# Text


def test_unknown_words_are_named_in_one_message(compact, tmp_path, caplog):
    """Whole words, in the order of the prompts, once per word, of weights that nobody has asked before."""
    path = changed(compact, tmp_path / "x.safetensors", lambda t, m: m.update(note="another hash"))
    metric, x = CLIPIQA(backbone="mini", clip_weights=path, quick_gelu=True), torch.rand(1, 3, 64, 64)
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
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} == LOOKS
    assert caplog.text.count("left out") == 1
