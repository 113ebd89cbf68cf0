"""What the blocks of docs/loss.md build is what the page says, in frameworks too. (That all run: test_blocks.py.)"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs/loss.md").read_text(encoding="utf-8")
PYTHON, YAML = (re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S) for language in ("python", "yaml"))


def block(containing: str) -> str:
    (code,) = (code for code in PYTHON if containing in code)
    return code


@pytest.fixture
def run(seeded_weights: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a block in a folder of its own, offline, with seeded weights, and returns its names."""
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights("RN50").parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yml").write_text(YAML[0], encoding="utf-8")

    def run(code: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "docs.loss"}
        exec(compile(code, "docs/loss.md", "exec"), names)
        return names

    return run


def test_yaml_says_what_is_built(run: Callable[..., Any]) -> None:
    names = run(block("build_loss"))
    pixel, quality = names["losses"]
    assert [pair.positive for pair in quality.metric.prompts] == ["Good photo.", "Sharp photo."]
    assert quality.prompt_weights.tolist() == [0.75, 0.25] and quality.loss_weight == 0.1
    torch.testing.assert_close(names["loss"], pixel(names["restored"], names["clean"]) + quality(names["restored"]))


def test_validation_metric_of_basicsr(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """BasicSR calls it with the picture as OpenCV has it, and with what else it has at hand."""
    found: dict[str, Any] = {}
    registry = SimpleNamespace(register=lambda: lambda function: found.setdefault(function.__name__, function))
    for name in ("basicsr", "basicsr.utils", "basicsr.utils.registry"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(METRIC_REGISTRY=registry))
    names = run(block("METRIC_REGISTRY"))
    bgr = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)
    score = found["calculate_clipiqa"](img=bgr, img2=bgr, crop_border=0)
    rgb = torch.from_numpy(np.ascontiguousarray(bgr[:, :, ::-1])).permute(2, 0, 1)[None] / 255
    assert isinstance(score, float) and score == names["metric"]()(rgb).item()
