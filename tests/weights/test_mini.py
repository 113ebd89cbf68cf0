"""The bundled small CLIP: found, checked, honest about the words it never saw, and its scores stay."""

import logging
from pathlib import Path

import pytest
import torch
from assertions import refused
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensors import assert_close

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.finding import obtained_weights
from clipiqa_pyiqa.workbench.experiments.demonstration import ATTRIBUTES
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.images.stacking import stacked

pytest_plugins = ["weights_fakes"]

PHOTOS = Path(__file__).parents[1] / "data"
LOOKS = ["quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast"]


# The file


def test_minis_file_is_the_one_that_was_measured():
    assert hash_file(published.MINI_FILE) == published.MINI_SHA256


def test_mini_needs_no_network(home):
    weights = obtained_weights("mini")
    assert (weights.path, weights.place, weights.tag) == (published.MINI_FILE, "this package", "bundled")
    assert weights.quick_gelu and weights.short == f"bundled {published.MINI_SHA256[:8]}"


@pytest.mark.parametrize("state", ["missing", "cut"])
def test_a_missing_or_damaged_mini_is_named(home, tmp_path, monkeypatch, state):
    path = tmp_path / "mini.safetensors"
    if state == "cut":
        path.write_bytes(published.MINI_FILE.read_bytes()[:100_000])
    monkeypatch.setattr(published, "MINI_FILE", path)
    refused(obtained_weights, "mini")


def test_minis_scores_stay(metric):
    for photo, expected in [
        ("canyon-wren.jpg", (0.72111, 0.62883, 0.93221, 0.24101, 0.85612, 0.71108)),
        ("blue-periwinkle.jpg", (0.79941, 0.48206, 0.94243, 0.29549, 0.96609, 0.60430)),
    ]:
        scores = metric(pixels(photo), prompts=LOOKS, aggregate=None)
        assert_close(scores[0], torch.tensor(expected), atol=2e-5)


# Its form


def changed(path, change):
    """A copy of the file with its tensors or metadata changed."""
    tensors = load_file(published.MINI_FILE)
    with safe_open(published.MINI_FILE, "pt") as file:
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return {"backbone": "mini", "clip_weights": path, "quick_gelu": True}


def test_an_incomplete_file_is_refused(tmp_path):
    for change in [
        lambda t, m: t.pop("visual.blocks.3.expand.bias"),
        lambda t, m: t.update({"visual.proj.bias": torch.ones(3)}),
        lambda t, m: m.update(architecture="{}"),
        lambda t, m: m.update(format="clipiqa-mini/3"),
    ]:
        options = changed(tmp_path / "x.safetensors", change)
        refused(lambda options=options: CLIPIQA(**options)(torch.rand(1, 3, 64, 64)))


# Words


def test_unknown_words_are_named_in_one_message(tmp_path, caplog):
    """Whole words, in the order of the prompts, once per word, of weights that nobody has asked before."""
    metric = CLIPIQA(**changed(tmp_path / "x.safetensors", lambda t, m: m.update(note="another hash")))
    x = torch.rand(1, 3, 64, 64)
    with caplog.at_level(logging.WARNING, "clipiqa_pyiqa"):
        metric(x, prompts=["quality", "noisiness"])
        assert caplog.text == ""
        metric(x, prompts=["scary", ("Zygomorphic happy photo.", "Sad photo."), "sharpness", "happy"])
        metric(x, prompts=["happy", ("Scary photo.", "Good photo.")])
    (said,) = [record.getMessage() for record in caplog.records]
    assert "mini never saw 'scary', 'peaceful', 'zygomorphic', 'happy', 'sad', so scores of texts with these" in said


# Damage


def pixels(name):
    return stacked([read_image(PHOTOS / name).pixels], torch.device("cpu"))


def test_quality_falls_by_one_damaged_place(metric):
    for photo in ["canyon-wren.jpg", "blue-periwinkle.jpg"]:
        x = pixels(photo)
        dice = torch.Generator().manual_seed(0)
        piece = x[..., 96:160, 160:224]
        shuffled = piece.flatten(2)[..., torch.randperm(piece[0, 0].numel(), generator=dice)].view_as(piece)
        for damage in (torch.rand(piece.shape, generator=dice), shuffled):
            damaged = x.clone()
            damaged[..., 96:160, 160:224] = damage
            assert metric(damaged) < metric(x)


# The demo


@pytest.mark.long
def test_demo_prints_its_table_and_writes_its_picture(clipiqa):
    told = clipiqa("demo --out demo.png", 0)
    said = told.out
    assert "the picture will be" in told.err.splitlines()[0] and "demo.png" in told.err.splitlines()[0]
    assert all(word in said for word in (*ATTRIBUTES, "RN50", "demo.png"))
    assert Image.open("demo.png").width > 1000
