"""An exported file says what its metric says, in onnxruntime, for any number of images of any size."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch
from assertions import refused
from metrics import save_head
from photos import PHOTOS, distorted_photos, photo_like
from plain_metrics import learned
from repository import skip_without_export
from tensors import assert_close

from clipiqa_pyiqa import CLIPIQA, PromptError, export_onnx, fit
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table

skip_without_export()
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

ROOT = Path(__file__).parents[1]
QUESTIONS = ["quality", "sharpness"]
CLOSE = 1e-5  # fp32 sums in another order: 3e-6 was seen
SEEDED = 4e-5  # a seeded tower of two blocks, whose margins are larger: 1.3e-5 was seen


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {"image": x.numpy()})]


@pytest.fixture(scope="module")
def metric(small_compact):
    return CLIPIQA(backbone="mini", clip_weights=small_compact).eval()


@pytest.fixture(scope="module")
def file(metric, once):
    """The small tower with several questions and their maps."""

    def export(folder):
        export_onnx(metric, folder / "small.onnx", QUESTIONS, with_map=True)

    return once("small-export", export) / "small.onnx"


# File


def assert_scores(file, metric, x, tolerance):
    assert file.columns == metric.columns
    with torch.no_grad():
        assert_close(run(file.path, x)[0], metric(x), atol=tolerance)


@pytest.mark.long
class TestWholeMetrics:
    def test_exported_mini_gives_minis_scores_and_maps(self, exported_mini):
        x = photo_like(251, 333, 2)
        pairs = json.loads(exported_mini.metadata["pairs"])
        questions = [tuple(pair) for (pair,) in pairs.values()]
        metric = CLIPIQA(backbone="mini")
        scores, places = run(exported_mini.path, x)
        with torch.no_grad():
            assert_close(scores, metric(x, questions, None), atol=CLOSE)
            assert_close(places, metric.score_map(x, questions), atol=CLOSE)

    @pytest.mark.parametrize("backbone, with_map", [("RN50", True), ("ViT-B/32", False)])
    def test_other_towers_are_exported(self, seeded_weights, tmp_path, backbone, with_map):
        options = {"pos_embedding": "interpolate", "prompts": ["quality", "happy"], "aggregate": None}
        metric = CLIPIQA(backbone=backbone, clip_weights=seeded_weights(backbone), **options)
        file = export_onnx(metric, tmp_path / "x.onnx", with_map=with_map)
        assert file.difference < CLOSE  # of the map, too
        assert_scores(file, metric, photo_like(224, 224, 2), CLOSE)

    def test_learned_prompts_are_exported(self, small_compact, tmp_path):
        with pytest.raises(PromptError):
            export_onnx(CLIPIQA("clipiqa+", backbone="mini", pretrained=False).eval(), tmp_path / "x.onnx")
        metric = learned(small_compact, backbone="mini").eval()
        assert_scores(export_onnx(metric, tmp_path / "one.onnx"), metric, photo_like(97, 131, 3), SEEDED)

    def test_a_fitted_head_is_exported(self, small_compact, tmp_path):
        """Ridge on the statistics of the stages, on a scale of its own: all that a head can have."""
        images = distorted_photos(tmp_path, PHOTOS[:1])
        table = tmp_path / "mos.csv"
        head = tmp_path / "x.safetensors"
        pandas.DataFrame({"path": images, "mos": range(9)}).to_csv(table, index=False)
        opinions = read_score_table(table, val_fraction=0, needed=("train",), score_range=(0, 8), lower_better=True)
        tower = {"backbone": "mini", "clip_weights": small_compact}
        options = {"fit_on": "stages", "own_scale": True, "features": tmp_path, "device": "cpu"}
        fit(opinions, method="ridge", metric=CLIPIQA(**tower), **options).save(head)
        metric = CLIPIQA("clipiqa+", pretrained_model_path=head, aggregate=None, **tower).eval()
        refused(export_onnx, metric, tmp_path / "x.onnx", with_map=True)
        file = export_onnx(metric, tmp_path / "x.onnx")
        assert json.loads(file.metadata["score_range"]) == [0, 8]
        assert "aggregate" not in file.metadata
        assert file.metadata["lower_better"] == "true"
        assert_scores(file, metric, photo_like(97, 131, 2), 1e-4 * 8)


@pytest.mark.slow
def test_the_file_of_a_head_has_its_range_and_averages_no_pairs(tmp_path, small_compact):
    """It said null to null, and a mean of pairs."""
    metric = CLIPIQA("clipiqa+", backbone="mini", clip_weights=small_compact, pretrained=False).eval()
    save_head(metric, tmp_path / "head.safetensors")
    metric.load_prompts(tmp_path / "head.safetensors")
    metadata = export_onnx(metric, tmp_path / "x.onnx").metadata
    assert json.loads(metadata["score_range"]) == [1, 5]
    assert "aggregate" not in metadata


# Bad input


@pytest.mark.slow
def test_a_file_that_disagrees_with_its_metric_is_deleted(monkeypatch, tmp_path, file, metric):
    """A file that is wrong for some shapes, as a traced batch of one makes it, is found before it gets its name."""
    model = onnx.load(file)
    monkeypatch.setattr("clipiqa_pyiqa.onnx_export.traced", lambda *_: model)
    refused(export_onnx, metric, tmp_path / "x.onnx", QUESTIONS[::-1], with_map=True)
    assert not any(tmp_path.iterdir())


# OpenVINO


@pytest.mark.long
def test_openvino_gives_the_scores_of_the_metric(tmp_path):
    """As the recipe of docs/performance.md, which stands there to be copied."""
    pytest.importorskip("openvino")
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```python\n(import openvino\n.*?)```", page, re.S)
    command = [sys.executable, "-c", recipe]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    difference = float(done.stdout.split()[-1])
    assert difference < CLOSE
