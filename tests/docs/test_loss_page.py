"""What the blocks of docs/loss.md build is what the page says, in frameworks too. (That all run: test_blocks.py.)"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

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


def test_the_page_has_its_blocks() -> None:
    assert len(PYTHON) == 7 and len(YAML) == 2
    assert sum("basicsr" in code for code in PYTHON) == 2


def test_yaml_says_what_is_built(run: Callable[..., Any]) -> None:
    names = run(block("build_loss"))
    pixel, quality = names["losses"]
    assert [pair.positive for pair in quality.metric.prompts] == ["Good photo.", "Sharp photo."]
    assert quality.prompt_weights.tolist() == [0.75, 0.25] and quality.loss_weight == 0.1
    torch.testing.assert_close(names["loss"], pixel(names["restored"], names["clean"]) + quality(names["restored"]))


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """A module that is not installed, with what a block imports from it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), ModuleType(".".join(parts[:depth])))
    sys.modules[name].__dict__.update(content)


def test_validation_metric_of_basicsr(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """BasicSR calls it with the picture as OpenCV has it, and with what else it has at hand."""
    found: dict[str, Any] = {}
    registry = SimpleNamespace(register=lambda: lambda function: found.setdefault(function.__name__, function))
    pretend(monkeypatch, "basicsr.utils.registry", METRIC_REGISTRY=registry)
    names = run(block("METRIC_REGISTRY"))
    bgr = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)
    score = found["calculate_clipiqa"](img=bgr, img2=bgr, crop_border=0)
    rgb = torch.from_numpy(np.ascontiguousarray(bgr[:, :, ::-1])).permute(2, 0, 1)[None] / 255
    assert isinstance(score, float) and score == names["metric"]()(rgb).item()


@pytest.mark.skipif(find_spec("basicsr") is None, reason="basicsr is not installed")
def test_basicsr(run: Callable[..., Any]) -> None:
    run(block("CLIPIQAPerceptualLoss"))
    from basicsr.models.sr_model import SRModel

    options = {
        "is_train": True, "num_gpu": 0, "dist": False, "path": {},
        "network_g": {"type": "MSRResNet", "num_feat": 8, "num_block": 1, "upscale": 2},
        "train": {
            **yaml.safe_load(YAML[1])["train"],
            "optim_g": {"type": "Adam", "lr": 1e-3}, "scheduler": {"type": "MultiStepLR", "milestones": [9]},
        },
    }  # fmt: skip
    model = SRModel(options)
    before = [parameter.detach().clone() for parameter in model.net_g.parameters()]
    model.feed_data({"lq": torch.rand(1, 3, 32, 32), "gt": torch.rand(1, 3, 64, 64)})
    model.optimize_parameters(1)
    assert 0 < model.log_dict["l_percep"] < 0.1  # a tenth of 1 - s
    assert any((now != then).any() for now, then in zip(model.net_g.parameters(), before, strict=True))
