"""Several metrics of one run: columns, shared encoding, resume, what is refused."""

import pytest
import torch
from PIL import Image
from result_files import read_results
from tensors import normal

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.images.scoring_memory import PICTURE_BYTES, scoring_bytes
from clipiqa_pyiqa.workbench.metrics.building import build_metrics

CPU = torch.device("cpu")


@pytest.fixture
def metrics(seeded_weights, tmp_path):
    """Two heads on one tower and view, and CLIP-IQA on the same weights with another view."""
    on = f"backbone=ViT-B/32,clip_weights={seeded_weights('ViT-B/32')},quick_gelu=true"
    for number in range(2):
        weight = normal(1, 512, seed=number)
        torch.save({"weight": weight, "bias": torch.ones(1)}, tmp_path / f"head{number}.pth")
    heads = [f"aes{number}=laion_aes:{on},pretrained_model_path={tmp_path}/head{number}.pth" for number in range(2)]
    return [*heads, f"clipiqa=clipiqa:{on}"]


def noise(path, height, width):
    Image.effect_noise((width, height), 90).convert("RGB").save(path)


def test_several_metrics_fill_columns_of_one_run(clipiqa, metrics, monkeypatch):
    shapes = []
    encode = ImageTower.encode

    def noting_shapes(tower, x, *args):
        shapes.append(tuple(x.shape))
        return encode(tower, x, *args)

    monkeypatch.setattr(ImageTower, "encode", noting_shapes)
    noise("0.png", 64, 80)
    noise("1.png", 64, 80)
    command = f"--device cpu --batch-size 1 --metrics {' '.join(metrics)} --out scores.csv"
    clipiqa(f"score 0.png {command}", 0)
    assert sorted(shapes) == [(1, 3, 64, 80), (1, 3, 224, 224)]  # not once for each metric
    clipiqa(f"score 0.png 1.png {command} --resume", 0)
    assert len(shapes) == 4
    head, rows = read_results("scores.csv")
    assert head.score_names == ["aes0", "aes1", "clipiqa"] and len(rows) == 2 and rows[1].scores[0] != rows[1].scores[1]
    assert [column.bounds for column in head.columns] == [(1, 10), (1, 10), (0, 1)]
    assert head.columns[1].record["file"] == "head1.pth"
    clipiqa(f"score 0.png {command} --resume --max-side 50", 2)
    clipiqa(f"score 0.png --out alone.csv --device cpu --metrics {metrics[1]}", 0)
    alone, (row,) = read_results("alone.csv")
    assert row.scores[0] == pytest.approx(rows[0].scores[1], abs=1e-5)
    assert alone.columns[0].fingerprint == head.columns[1].fingerprint  # so the two files can be compared


def test_an_image_too_small_for_one_of_them_keeps_the_scores_of_the_others(clipiqa, seeded_weights, tmp_path):
    noise(tmp_path / "low.png", 200, 224)
    metrics = ["mini", f"maclip=maclip:clip_weights={seeded_weights('RN50')},quick_gelu=true"]
    (row,) = score_paths(metrics, tmp_path / "low.png", device="cpu")
    assert row.scores[0] and row.scores[1] is None and row.kind is Kind.TOO_SMALL
    assert "maclip: the image is 224×200 px" in row.error
    clipiqa, maclip = (metric.net for metric in build_metrics(metrics).of_images)
    assert scoring_bytes(maclip, CPU) == PICTURE_BYTES < scoring_bytes(clipiqa, CPU)  # patches go in chunks
