"""A head with a wrong field or tensor is refused where it is loaded, by a sentence that names the field."""

import base64

import pytest
import torch
from assertions import refused
from safetensors.torch import save_file

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.prompts.checksum import content_checksum
from clipiqa_pyiqa.prompts.heads import HEAD_FORMAT

WIDTH = 128  # of mini's features
TENSORS = {"direction": torch.ones(WIDTH), "prior": torch.tensor([1.0, 0.0])}
RIDGE = {**TENSORS, "mean": torch.zeros(WIDTH), "weight": torch.zeros(WIDTH)}
WRONG = {
    "score_range": ["[5, 0]", "[1]", '"ab"', "7", "[true, 2]", '["0", "1"]', "[" * 9000, "x", None],
    "score_range ": ["[NaN, 1]", "[0, Infinity]", f"[0, 1{'0' * 400}]"],
    "lower_better": ["1", '"yes"', "null", "no", None],
    "method": ["other", None],
    "fit_on": ["x", None],
    "rated_photos": ["many", "0", "1.5", None],
    "trained_on": ["***", "abc"],
    "base_positive": [None],
}


@pytest.fixture(scope="module")
def weights():
    return CLIPIQA(backbone="mini").clip.weights


@pytest.fixture
def saved(weights, tmp_path):
    """Saves a head with changed fields and tensors, whose checksum is right; None leaves a field out."""

    def save(tensors=TENSORS, **changes):
        fields = {
            "format": HEAD_FORMAT,
            "backbone": "mini",
            "weights": weights.short,
            "weights_sha256": weights.sha256,
            "pos_embedding": "none",
            "base_positive": "Good photo.",
            "base_negative": "Bad photo.",
            "fit_on": "features",
            "rated_photos": "30",
            "score_range": "[0, 5]",
            "lower_better": "true",
            "method": "affine",
            "trained_on": base64.b64encode(b"12345").decode(),
            **changes,
        }
        texts = {name: text for name, text in fields.items() if text is not None}
        texts["sha256"] = content_checksum(tensors, texts)
        save_file(tensors, tmp_path / "head.safetensors", texts)
        return tmp_path / "head.safetensors"

    return save


def load(path):
    return CLIPIQA("clipiqa+", pretrained_model_path=path).eval()


@pytest.mark.quick
def test_a_good_head_is_loaded(saved):
    for tensors, method in ((TENSORS, "affine"), (RIDGE, "ridge")):
        metric = load(saved(tensors, method=method))
        assert metric.score_range == (0, 5) and metric.lower_better
        assert metric(torch.rand(1, 3, 64, 64)).shape == (1, 1)


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_another_type_is_named(saved, name):
    for text in WRONG[name]:
        assert f"field {name.strip()}" in refused(load, saved(**{name.strip(): text})), text


@pytest.mark.parametrize(
    "tensors, method, name",
    [
        ({**TENSORS, "direction": torch.ones(WIDTH - 1)}, "affine", "127 numbers"),
        ({**TENSORS, "direction": torch.ones(WIDTH, 1)}, "affine", "direction"),
        ({**TENSORS, "direction": torch.ones(WIDTH, dtype=torch.int64)}, "affine", "direction"),
        ({**TENSORS, "prior": torch.ones(3)}, "affine", "prior"),
        ({**TENSORS, "prior": torch.ones(2, 2)}, "affine", "prior"),
        ({"direction": torch.ones(WIDTH)}, "affine", "prior"),
        (TENSORS, "ridge", "mean"),
        ({**RIDGE, "mean": torch.zeros(1)}, "ridge", "mean"),  # of one number, which would be broadcast
        ({**RIDGE, "weight": torch.zeros(1)}, "ridge", "weight"),
    ],
)
def test_a_tensor_of_another_shape_is_named(saved, tensors, method, name):
    assert name in refused(load, saved(tensors, method=method))


def test_a_head_on_stages_needs_the_statistics_of_its_tower(saved):
    one = {"mean": torch.zeros(1), "weight": torch.zeros(1)}
    metric = load(saved({**TENSORS, **one}, method="ridge", fit_on="stages"))
    assert "1 inputs" in refused(metric, torch.rand(1, 3, 64, 64))
