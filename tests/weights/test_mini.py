"""The bundled small CLIP: found, checked, and its scores stay."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.experiments.demonstration import ATTRIBUTES
from clipiqa_pyiqa.files.reading import hash_file
from clipiqa_pyiqa.images.batches import stacked
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]

PHOTOS = Path(__file__).parents[1] / "data"
LOOKS = ["quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast"]


# The file


def test_minis_file_is_the_one_that_was_measured():
    assert hash_file(published.MINI_FILE) == published.MINI_SHA256


def test_mini_needs_no_network(home):
    weights = find_weights("mini")
    assert (weights.path, weights.source, weights.tag) == (published.MINI_FILE, "this package", "bundled")
    assert weights.quick_gelu and weights.short == f"bundled {published.MINI_SHA256[:8]}"


@pytest.mark.parametrize("state", ["missing", "cut"])
def test_a_missing_or_damaged_mini_is_named(home, tmp_path, monkeypatch, state):
    path = tmp_path / "mini.safetensors"
    if state == "cut":
        path.write_bytes(published.MINI_FILE.read_bytes()[:100_000])
    monkeypatch.setattr(published, "MINI_FILE", path)
    with pytest.raises(WeightsError):
        find_weights("mini")


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("canyon-wren.jpg", (0.72111, 0.62883, 0.93221, 0.24101, 0.85612, 0.71108)),
        ("blue-periwinkle.jpg", (0.79941, 0.48206, 0.94243, 0.29549, 0.96609, 0.60430)),
    ],
)
def test_minis_scores_stay(photo, expected):
    scores = CLIPIQA(backbone="mini").eval()(pixels(photo), prompts=LOOKS, aggregate=None)
    torch.testing.assert_close(scores[0], torch.tensor(expected), atol=2e-5, rtol=0)


# Damage


def pixels(name: str) -> torch.Tensor:
    return stacked([read_image(PHOTOS / name).pixels], torch.device("cpu"))


def in_a_place(change):
    def changed(x, dice):
        x = x.clone()
        x[..., 96:160, 160:224] = change(x[..., 96:160, 160:224], dice)
        return x

    return changed


@in_a_place
def noise(piece, dice):
    return torch.rand(piece.shape, generator=dice)


@in_a_place
def shuffled(piece, dice):
    return piece.flatten(2)[..., torch.randperm(piece[0, 0].numel(), generator=dice)].view_as(piece)


@pytest.mark.parametrize("change", [noise, shuffled])
@pytest.mark.parametrize("photo", ["canyon-wren.jpg", "blue-periwinkle.jpg"])
def test_quality_falls_by_one_damaged_place(photo, change):
    x, metric = pixels(photo), CLIPIQA(backbone="mini").eval()
    assert metric(change(x, torch.Generator().manual_seed(0))) < metric(x)


# The demo


@pytest.mark.long
def test_demo_prints_its_table_and_writes_its_picture(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo.png")]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (*ATTRIBUTES, "blurred", "high = clean", "BIQ2021", "RN50"))
    assert str(tmp_path / "demo.png") in out
    assert Image.open(tmp_path / "demo.png").width > 1000
