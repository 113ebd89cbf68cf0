"""Files of heads: what is loaded, and what is refused where it is loaded."""

import pytest
import torch
from assertions import refused
from metrics import save_head
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.prompts.head import content_checksum

WIDTH = 128  # of mini's features
RIDGE = {"mean": torch.zeros(WIDTH), "weight": torch.ones(WIDTH) / 1e3}


@pytest.fixture
def changed(tmp_path):
    """Saves a head with other fields and tensors, whose checksum is right; None leaves a field out."""
    path = tmp_path / "head.safetensors"
    save_head(CLIPIQA(backbone="mini"), path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        fields = file.metadata()

    def save(more_tensors=None, **changes):
        texts = {name: text for name, text in {**fields, **changes}.items() if text is not None}
        contents = {**tensors, **(more_tensors or {})}
        save_file(contents, path, {**texts, "sha256": content_checksum(contents, texts)})
        return path

    return save


def load(path):
    return CLIPIQA("clipiqa+", pretrained_model_path=path).eval()


@pytest.mark.quick
def test_a_head_has_its_own_scale(changed):
    x = torch.rand(1, 3, 64, 64)
    for more in ({}, {"more_tensors": RIDGE, "method": "ridge"}):
        metric = load(changed(**more))
        assert metric.score_range == (1, 5) and not metric.lower_better
        assert metric.prompts[0].texts == ("Sharp photo.", "Blurry photo.")
        mirrored = load(changed(**more, lower_better="true"))
        assert mirrored.lower_better
        assert torch.allclose(mirrored(x), 6 - metric(x), atol=1e-5)  # digits of fp32


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"method": None}, "'method'"),
        ({"method": "ridge"}, "'mean'"),
        ({"score_range": "from 1 to 5"}, "not a complete head"),
        ({"format": "clipiqa-pyiqa opinion head 2"}, "opinion head 2"),
        ({"weights_sha256": "0" * 64}, "other weights"),
        ({"backbone": "RN50"}, "RN50"),
    ],
)
def test_another_head_is_refused_by_name(changed, changes, named):
    path = changed(**changes)
    said = refused(CLIPIQA, "clipiqa+", "mini", pretrained_model_path=path)
    assert named in said and path.name in said


def test_a_head_whose_content_has_changed_is_refused(changed):
    path = changed()
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        fields = file.metadata()
    save_file({**tensors, "prior": tensors["prior"] * 2}, path, fields)
    assert "checksum" in refused(load, path)


def test_a_head_on_stages_needs_the_statistics_of_its_tower(changed):
    one = {"mean": torch.zeros(1), "weight": torch.zeros(1)}
    metric = load(changed(one, method="ridge", fit_on="stages"))
    assert "1 inputs" in refused(metric, torch.rand(1, 3, 64, 64))
