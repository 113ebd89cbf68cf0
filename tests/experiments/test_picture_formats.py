"""Pictures as PNG, SVG or PDF, which say what made their numbers; failures of pairs at 100 %."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from photos import BUNDLED, save_grey
from PIL import Image, ImageFilter

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.experiments.image_pairs import needs_detail, pairs
from clipiqa_pyiqa.ranking.folder_ranking import rank
from clipiqa_pyiqa.report.contact_sheet import contact_sheet, footed


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A photo, blurred in ``low`` and as it is in ``high``."""
    root = tmp_path_factory.mktemp("pairs")
    with Image.open(BUNDLED / "canyon-wren.jpg") as photo:
        for name, radius in (("low", 2.0), ("high", 0.0)):
            (root / name).mkdir()
            photo.convert("RGB").filter(ImageFilter.GaussianBlur(radius)).save(root / name / "1.png")
    return root / "low", root / "high"


@pytest.fixture(scope="module")
def metric() -> CLIPIQA:
    return CLIPIQA(backbone="mini").eval()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_formats(metric: CLIPIQA, folders: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    low, high = folders
    options: Any = {"out": tmp_path, "pictures": kind, "device": "cpu"}
    pairs(metric, high, low, ["sharpness"], **options)  # the wrong way round, so that it fails
    sheet = "png" if kind == "svg" else kind  # photos are no SVG
    assert {path.name for path in tmp_path.iterdir() if path.suffix in (".png", ".svg", ".pdf")} == {
        f"pairs.{kind}", f"failures-sharpness.{sheet}",
    }  # fmt: skip
    if kind == "svg":
        assert "<!-- CLIP-IQA, mini, bundled" in (tmp_path / "pairs.svg").read_text()
    with pytest.raises(CLIPIQAError, match="exists already"):
        pairs(metric, high, low, ["sharpness"], **options)


def test_failures_at_100_percent(metric: CLIPIQA, folders: tuple[Path, Path]) -> None:
    low, high = folders
    found = pairs(metric, high, low, ["sharpness", "brightness"], device="cpu")
    sheet = found.failure_sheet("sharpness", side=64)
    assert sheet is not None and sheet.width == 4 + 4 * (64 + 4)  # low, high, and a crop of each
    assert [needs_detail(text) for text in ("noisiness", "Grainy photo.|Smooth photo.", "brightness")] == [1, 1, 0]


def test_unknown_format(folders: tuple[Path, Path]) -> None:
    with pytest.raises(CLIPIQAError, match="pictures must be one of png, svg, pdf; got 'gif'"):
        rank(lambda: None, folders[0], pictures="gif", device="cpu")


def test_footed(tmp_path: Path) -> None:
    sheet = contact_sheet([save_grey(tmp_path / "a.png", 9)], ["a"], side=64)
    assert footed(sheet, "CLIP-IQA, mini").height > sheet.height
