"""The script behind the tables of docs/table.md runs as it stands, on small pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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
    example.main(["--photos", str(ROOT / "tests/data"), "--out", str(tmp_path), "--width", "128"])
    said = capsys.readouterr().out
    assert "niqe is left out: there is no niqe_modelparameters.mat" in said
    assert "| method | psnr-rgb ↑ | psnr-y ↑ | ssim-y ↑ | clipiqa ↑ |" in said and "| Lanczos |" in said
    assert (tmp_path / "enlarged/table/report.html").is_file()
