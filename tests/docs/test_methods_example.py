"""The script behind the tables of docs/table.md runs as it stands, on small pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods_table", ROOT / "docs/examples/methods_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_enlarged(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example.ENLARGERS.pop("Real-ESRGAN", None)  # the network takes its time
    command = ["--photos", str(ROOT / "tests/data"), "--out", str(tmp_path), "--width", "128"]
    example.main(command)
    said = capsys.readouterr().out
    assert "niqe is left out: there is no niqe_modelparameters.mat" in said
    assert "| method | psnr-rgb ↑ | psnr-y ↑ | ssim-y ↑ | clipiqa ↑ |" in said and "| Lanczos |" in said
    example.main(command)  # again: what is there is used
    assert capsys.readouterr().out == said and (tmp_path / "enlarged/table/report.html").is_file()


def test_noise(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("pywt", reason="PyWavelets, which estimates the noise, is not installed")
    for name in ("noisy", "clean"):
        (tmp_path / name).mkdir()
    with Image.open(ROOT / "tests/data/canyon-wren.jpg") as photo:
        clean = np.asarray(photo.convert("RGB").crop((40, 20, 104, 84)))
    noise = np.random.default_rng(0).normal(0, 12, clean.shape)
    Image.fromarray(clean).save(tmp_path / "clean/1.png")
    Image.fromarray((clean + noise).clip(0, 255).astype(np.uint8)).save(tmp_path / "noisy/1.png")
    example.DENOISERS.pop("BM3D", None)  # so does this
    example.main(["--noise", str(tmp_path), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "Differences from as it was" in said and "| total variation | **" in said  # it helps
