"""The bundled small CLIP: found, checked, equal to the reference."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.experiments.demonstration import ATTRIBUTES, PHOTOS, VERSIONS
from clipiqa_pyiqa.files.hashes import hash_file
from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]


@pytest.fixture(scope="module")
def mini() -> CLIPIQA:
    return CLIPIQA(backbone="mini").eval()


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """The photos of the demo, which mini was not trained on."""
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


# The file


def test_the_file_is_the_one_that_was_measured() -> None:
    assert hash_file(published.MINI_FILE) == published.MINI_SHA256


def test_it_comes_with_the_package_and_needs_no_network(home: Path) -> None:
    weights = find_weights("mini")
    assert (weights.path, weights.source, weights.tag) == (published.MINI_FILE, "this package", "bundled")
    assert weights.quick_gelu and weights.short == f"bundled {published.MINI_SHA256[:8]}"


@pytest.mark.parametrize("state", ["missing", "cut"])
def test_a_missing_or_damaged_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    path = tmp_path / "mini.safetensors"
    if state == "cut":
        path.write_bytes(published.MINI_FILE.read_bytes()[:100_000])
    monkeypatch.setattr(published, "MINI_FILE", path)
    with pytest.raises(WeightsError, match="part of clipiqa-pyiqa, is missing or damaged: install the package again"):
        find_weights("mini")


def test_it_is_offered_and_never_chosen_silently(home: Path) -> None:
    with pytest.raises(WeightsError, match=r"(?s)RN50 .*could not be downloaded.*backbone='mini'"):
        CLIPIQA()


# Equal to the reference


def test_it_equals_the_reference_that_it_was_trained_with(mini: CLIPIQA, photos: list[Image.Image]) -> None:
    """The same file through the training script's plain modules, in float64: features, map, and the words' scores."""
    folder = str(Path(__file__).parents[2] / "docs/examples/mini")
    sys.path.insert(0, folder)
    try:
        from mini.model import Mini
    finally:
        sys.path.remove(folder)
    reference = Mini(published.MINI_FILE)
    for tensors in (reference.visual, reference.tower.tensors):
        tensors.update({name: value.double() for name, value in tensors.items()})
    reference.tower._conv = functools.partial(plain_conv, reference.tower.tensors)  # its own is oneDNN's, for fp32
    x = tensor(photos[0].crop((0, 0, 256, 191))).double()
    with torch.no_grad():
        theirs = reference.encode_image(x)
        torch.testing.assert_close(mini.encode_image(x), theirs, atol=1e-9, rtol=0)
        torch.testing.assert_close(mini.encode_map(x), reference.encode_cells(x).permute(0, 3, 1, 2), atol=1e-9, rtol=0)
        pair = ("Good photo.", "Bad photo.")
        expected = (theirs.float() @ reference.questions([pair])).sigmoid()
        # its text tower works in fp32, whose rounding the logit scale of 100 magnifies
        torch.testing.assert_close(mini(x.float()), expected, atol=2e-5, rtol=0)


def plain_conv(
    tensors: dict, x: torch.Tensor, name: str, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
) -> torch.Tensor:
    low, odd = (kernel - stride) // 2, [side % 2 if stride == 2 else 0 for side in x.shape[2:]]
    high = kernel - stride - low
    x = F.pad(x, (low, high + odd[1], low, high + odd[0]))
    x = F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], stride, groups=groups)
    return F.relu6(x) if relu else x


# The demo


@pytest.mark.long
def test_demo_prints_its_table_and_writes_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo.png")]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (*ATTRIBUTES, *VERSIONS, "BIQ2021", "RN50"))
    assert str(tmp_path / "demo.png") in out
    assert Image.open(tmp_path / "demo.png").width > 1000
