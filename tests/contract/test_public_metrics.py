"""Metrics by name, file and object: labels, records, questions beside named metrics, and what is refused."""

import shutil

import pandas
import pytest
from assertions import refused
from photos import BUNDLED

from clipiqa_pyiqa import CLIPIQA, score_paths

CLIP_FIELDS = {"metric", "version", "backbone", "weights", "weights_sha256", "quick_gelu", "precision", "pos_embedding"}

CLIP_FIELDS |= {"range", "lower_better", "questions"}


def test_named_metrics_stand_beside_questions(tmp_path, clipiqa):
    shutil.copy(BUNDLED / "canyon-wren.jpg", tmp_path / "a.jpg")
    asked = "-m entropy sharp=mini:prompts=sharpness --out s.csv"
    clipiqa(f"score a.jpg --prompts quality sharpness -b mini {asked}", 0)
    (cells,) = pandas.read_csv("s.csv").to_dict("records")
    assert [*cells][1:5] == ["quality", "sharpness", "entropy", "sharp"] and cells["sharpness"] == cells["sharp"]
    said = clipiqa("score a.jpg -m clipiqa x=clipiqa:precision=bf16 -b mini -q --format csv").out
    assert said.startswith("path,clipiqa,x,")  # --backbone is both metrics' default
    (row,) = score_paths([CLIPIQA(backbone="mini"), "entropy"], "a.jpg", ["quality", "sharpness"], device="cpu")
    assert row.scores[:2] == pytest.approx([cells["quality"], cells["sharpness"]], abs=1e-4)
    refused(score_paths, ["entropy", "mini"], "a.jpg", "quality")


def test_a_file_of_parameters_that_is_missing_is_named_in_a_sentence(tmp_path):
    metric = f"niqe:pretrained_model_path={tmp_path / 'x.mat'}"
    assert "it cannot be built: there is no file '" in refused(score_paths, metric, tmp_path, device="cpu")
