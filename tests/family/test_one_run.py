"""Several metrics of one run: columns, shared encoding, resume, stored embeddings, what is refused."""

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from draws import normal
from PIL import Image
from pyarrow import parquet
from stored import read_results

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.images.scoring_memory import PICTURE_BYTES, scoring_bytes
from clipiqa_pyiqa.metrics.parsing import metric_set

CPU = torch.device("cpu")
V2 = [1.655, 2.359, 3.070, 3.672, 4.238, 4.701, 5.073, 5.365, 5.577, 5.747]


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
    shapes, encode = [], ImageTower.__call__
    monkeypatch.setattr(ImageTower, "__call__", lambda *args: shapes.append(tuple(args[1].shape)) or encode(*args))
    noise("0.png", 64, 80)
    noise("1.png", 64, 80)
    command = f"--device cpu --batch-size 1 --metrics {' '.join(metrics)} --out scores.csv"
    clipiqa(f"score 0.png {command}", 0)
    assert sorted(shapes) == [(1, 3, 64, 80), (1, 3, 224, 224)]  # not once for each metric
    clipiqa(f"score 0.png 1.png {command} --resume", 0)
    assert len(shapes) == 4
    head, rows = read_results("scores.csv")
    assert head.scores == ["aes0", "aes1", "clipiqa"] and len(rows) == 2 and rows[1].scores[0] != rows[1].scores[1]
    assert [column.ends for column in head.columns] == [(1, 10), (1, 10), (0, 1)]
    assert head.columns[1].record["file"] == "head1.pth"
    clipiqa(f"score 0.png {command} --resume --max-side 50", 2)
    clipiqa(f"score 0.png --out alone.csv --device cpu --metrics {metrics[1]}", 0)
    alone, (row,) = read_results("alone.csv")
    assert row.scores[0] == pytest.approx(rows[0].scores[1], abs=1e-5)
    assert alone.columns[0].fingerprint == head.columns[1].fingerprint  # so the two files can be compared


@pytest.mark.quick
@pytest.mark.parametrize(
    "asked, named",
    {
        "lpips": "clipiqa table",
        "fid": "a set of images",
        "clipscore": "a caption",
        "mini MINI": "called 'mini'",
        "clipiqa:bckbone=mini": "'bckbone'",
        "'a=clipiqa:backbone=mini,prompts=[quality, sharpness],aggregate=null'": "one score",
        "mini --prompts sharpness --learned-prompts clipiqa+": "excludes",
    }.items(),
)
def test_metrics_that_cannot_share_a_run_are_refused(clipiqa, asked, named, tmp_path):
    noise(tmp_path / "a.png", 64, 64)
    clipiqa(f"score {tmp_path}/a.png --metrics {asked}", 2, named)


def laion(shared, tower, kind):
    """LAION's first head for a kind of tower."""
    file = f"{shared}/data/laion/sa_0_4_{kind}_linear.pth"
    return f"laion_aes=laion_aes:clip_weights={tower},quick_gelu=true,pretrained_model_path={file}"


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["npy", "lists", "fixed"])
@pytest.mark.parametrize("dtype, near", [("float32", 6e-4), ("float16", 0.02)])
def test_stored_embeddings_are_scored(clipiqa, kind, dtype, near, empty_tower, vectors, shared, tmp_path):
    stored = (7 * vectors("vit_l_14")).astype(dtype)  # of any length
    file = tmp_path / f"stored.{'npy' if kind == 'npy' else 'parquet'}"
    if kind == "npy":
        np.save(file, stored)
    else:
        column = pyarrow.FixedSizeListArray.from_arrays(stored.ravel(), 768)
        column = column if kind == "fixed" else column.cast(pyarrow.list_(column.type.value_type))
        parquet.write_table(pyarrow.table({"vector": column, "id": list("abcdefghij")}), file)
    v1 = laion(shared, empty_tower("ViT-L/14"), "vit_l_14")
    metrics = v1.replace("sa_0_4_vit_l_14_linear", "laion_v2_l14_linearMSE"), f"v1={v1.removeprefix('laion_aes=')}"
    keep = "" if kind == "npy" else "--keep id"
    command = f"score {file} --embeddings --device cpu --out {tmp_path}/out {keep} --metrics"
    clipiqa(f"{command} {' '.join(metrics)}", 0)
    table = pandas.read_parquet(tmp_path / f"out/{file.name}.parquet")
    assert list(table.laion_aes) == pytest.approx(V2, abs=near)
    assert table.v1.iloc[-1] == pytest.approx(11.304, abs=near)
    assert kind == "npy" or list(table.id) == list("abcdefghij")


def test_embeddings_of_another_width_are_refused(clipiqa, empty_tower, vectors, shared, seeded_weights, tmp_path):
    np.save(tmp_path / "b32.npy", vectors("vit_b_32"))
    b32 = laion(shared, empty_tower("ViT-B/32"), "vit_b_32").replace(":", ":backbone=ViT-B/32,", 1)
    for number, (asked, code, named) in enumerate(
        [
            (b32, 0, ""),
            ("mini", 1, "128 floats"),
            (f"{b32} mini", 2, "of one backbone"),
            (f"liqe:pretrained_model_path={seeded_weights('ViT-B/32')}", 2, "'liqe'"),
        ]
    ):
        command = f"score {tmp_path}/b32.npy --embeddings --device cpu --out {tmp_path}/out{number} --metrics"
        clipiqa(f"{command} {asked}", code, named)
    table = pandas.read_parquet(tmp_path / "out0/b32.npy.parquet")
    assert table.laion_aes.iloc[[0, -1]].tolist() == pytest.approx([-1.470, 11.006], abs=6e-4)


def test_an_image_too_small_for_one_of_them_keeps_the_scores_of_the_others(clipiqa, seeded_weights, tmp_path):
    noise(tmp_path / "low.png", 200, 224)
    metrics = ["mini", f"maclip=maclip:clip_weights={seeded_weights('RN50')},quick_gelu=true"]
    (row,) = score_paths(metrics, tmp_path / "low.png", device="cpu")
    assert row.scores[0] and row.scores[1] is None and row.kind is Kind.TOO_SMALL
    assert "maclip: the image is 224×200 px" in row.error
    clipiqa, maclip = (metric.net for metric in metric_set(metrics).metrics)
    assert scoring_bytes(maclip, CPU) == PICTURE_BYTES < scoring_bytes(clipiqa, CPU)  # patches go in chunks
