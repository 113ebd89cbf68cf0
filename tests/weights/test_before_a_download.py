"""What cannot be used is refused before weights are looked for, which may mean a download of 408 MB."""

import pytest
import torch
from assertions import refused

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.family import MACLIP, CLIPScore, QualiCLIP
from clipiqa_pyiqa.prompts.files import save_prompt_file
from clipiqa_pyiqa.weights import finding


@pytest.fixture
def files(tmp_path):
    """Learned prompts of mini, a file that holds none, and one that is damaged."""
    metric = CLIPIQA("clipiqa+", "mini", pretrained=False)
    metric.load_state_dict({**metric.state_dict(), "prompt_learner.ctx": torch.ones(2, 16, 64)})
    save_prompt_file(metric.prompt_learner, tmp_path / "mini.safetensors")
    (tmp_path / "other.safetensors").write_bytes((tmp_path / "mini.safetensors").read_bytes().replace(b"Good", b"Fine"))
    torch.save({"weight": torch.ones(3)}, tmp_path / "none.pth")
    (tmp_path / "damaged.pth").write_bytes((tmp_path / "none.pth").read_bytes()[:300])
    return tmp_path


@pytest.fixture(autouse=True)
def no_weights(files, monkeypatch):
    """Nobody looks for weights."""

    def look(file):
        pytest.fail(f"looked for {file.title}")

    for name in ("obtained_file", "search"):
        monkeypatch.setattr(finding, name, look)
    for module in ("metric", "family"):
        monkeypatch.setattr(f"clipiqa_pyiqa.{module}.obtained_file", look)


@pytest.mark.quick
@pytest.mark.parametrize(
    "options, named",
    [
        ({"pretrained_model_path": "mini.safetensors"}, "'clipiqa' has no learned prompts"),
        ({"context": {"n_ctx": 4}}, "'clipiqa' has no learned prompts"),
        ({"model_type": "clipiqa+", "prompts": ["sharpness", "quality"]}, "single pair"),
        ({"model_type": "clipiqa+", "backbone": "ViT-B/32"}, "was learned on RN50"),
        ({"model_type": "clipiqa+", "pretrained": False, "context": {"nctx": 4}}, "n_ctx"),
        (
            {"model_type": "clipiqa+", "pretrained_model_path": "mini.safetensors", "backbone": "RN50"},
            "learned on mini",
        ),
        (
            {"model_type": "clipiqa+", "pretrained_model_path": "mini.safetensors", "context": {"n_ctx": 4}},
            "n_ctx=16",
        ),
        ({"model_type": "clipiqa+", "pretrained_model_path": "mini.safetensors", "prompts": "sharpness"}, "own"),
        ({"model_type": "clipiqa+", "pretrained_model_path": "none.pth"}, "no learned prompts"),
        ({"model_type": "clipiqa+", "pretrained_model_path": "other.safetensors"}, "checksum"),
        ({"model_type": "clipiqa+", "pretrained_model_path": "damaged.pth"}, "damaged"),
        ({"backbone": "RN5"}, "RN50"),
        ({"pos_embedding": "bilinear"}, "pos_embedding"),
    ],
)
def test_clipiqa(files, monkeypatch, options, named):
    monkeypatch.chdir(files)
    assert named in refused(CLIPIQA, **options)


def test_an_activation_that_contradicts_published_weights(monkeypatch):
    monkeypatch.setattr(finding, "search", lambda file: None)
    assert "contradicts RN50 (openai)" in refused(CLIPIQA, quick_gelu=False)


def test_the_loss_and_the_family():
    assert "prompt_weights" in refused(CLIPIQALoss, prompt_weights=[1, 2])
    assert "template" in refused(CLIPIQALoss, template="no place")
    for build in (MACLIP, CLIPScore, QualiCLIP):
        assert "no file of its own" in refused(build, pretrained_model_path="x.pth")
    assert "`pretrained`" in refused(QualiCLIP, pretrained=False)
