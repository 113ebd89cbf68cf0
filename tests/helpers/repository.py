"""What the package is built from, and what a machine may have beside it."""

import os
import shutil
from pathlib import Path

import pytest

SHARED_FOLDER = Path(os.environ.get("CLIPIQA_SHARED", Path(__file__).parents[3] / "shared"))


def skip_without_export():
    """Skip a module where ONNX files cannot be made."""
    import torch  # which takes seconds, also for those that only ask for the folder

    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra onnx is not installed")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 9):
        pytest.skip("torch before 2.9 cannot export for images of any size", allow_module_level=True)


ROOT = Path(__file__).parents[2]


def copy_sources(folder):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for part in ("clipiqa_pyiqa", "configs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
