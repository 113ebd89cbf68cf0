"""The validation metric that docs/loss.md registers in BasicSR. (That all blocks run: test_blocks.py.)"""

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

PAGE = Path(__file__).parents[2] / "docs/loss.md"


def test_validation_metric_of_basicsr(seeded_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """BasicSR calls it with the picture as OpenCV has it, and with what else it has at hand."""
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights("RN50").parent))
    names: dict[str, Any] = {"__name__": "docs.loss"}
    registry = SimpleNamespace(register=lambda: lambda function: names.setdefault(function.__name__, function))
    for name in ("basicsr", "basicsr.utils", "basicsr.utils.registry"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(METRIC_REGISTRY=registry))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    exec(next(code for code in blocks if "METRIC_REGISTRY" in code), names)
    bgr = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)
    score = names["calculate_clipiqa"](img=bgr, img2=bgr, crop_border=0)
    rgb = torch.from_numpy(np.ascontiguousarray(bgr[:, :, ::-1])).permute(2, 0, 1)[None] / 255
    assert isinstance(score, float) and score == names["metric"]()(rgb).item()
