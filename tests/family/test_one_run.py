"""Several metrics of one run: columns, shared encoding, resume, stored embeddings, what is refused."""

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.clip.model import ImageTower
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.metric import PICTURE, scoring_bytes
from clipiqa_pyiqa.scoring.metrics import metric_set
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.scoring.scale import scales_of

CPU = torch.device("cpu")
V2 = [1.655, 2.359, 3.070, 3.672, 4.238, 4.701, 5.073, 5.365, 5.577, 5.747]


@pytest.fixture
def metrics(seeded_weights, tmp_path):
    """Two heads on one tower and view, and CLIP-IQA on the same weights with another view."""
    on = f"backbone=ViT-B/32,clip_weights={seeded_weights('ViT-B/32')},quick_gelu=true"
    asked = []
    for number in range(2):
        head = tmp_path / f"head{number}.pth"
        generator = torch.Generator().manual_seed(number)
        torch.save({"weight": torch.randn(1, 512, generator=generator), "bias": torch.ones(1)}, head)
        asked.append(f"aes{number}=laion_aes:{on},pretrained_model_path={head}")
    return [*asked, f"clipiqa:{on}"]


@pytest.fixture
def passes(monkeypatch):
    """Shapes of what a tower was given."""
    shapes = []
    encode = ImageTower.__call__
    monkeypatch.setattr(ImageTower, "__call__", lambda *args: shapes.append(tuple(args[1].shape)) or encode(*args))
    return shapes


def test_several_metrics_fill_columns_of_one_run(metrics, passes, tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    out = tmp_path / "scores.csv"
    command = ["--metrics", *metrics, "--out", str(out), "--device", "cpu", "--batch-size", "1"]
    assert main(["score", str(tmp_path / "0.png"), str(tmp_path / "1.png"), *command]) == 0
    assert sorted(passes) == [(1, 3, 64, 80)] * 2 + [(1, 3, 224, 224)] * 2  # not once for each metric
    assert main(["score", *(str(tmp_path / f"{number}.png") for number in range(3)), *command, "--resume"]) == 0
    assert len(passes) == 6
    header, rows = read_results(out)
    assert header.columns == ("aes0", "aes1", "clipiqa") and len(rows) == 3 and rows[2].scores[0] != rows[2].scores[1]
    scales = scales_of(header.provenance)
    assert [(scale.low, scale.high) for scale in scales.values()] == [(1, 10), (1, 10), (0, 1)]
    assert header.provenance["scores"]["aes1"]["file"].startswith("head1.pth ")
    assert header.metric.startswith("aes0, aes1, clipiqa, ")
    alone = tmp_path / "alone.csv"
    assert (
        main(["score", str(tmp_path / "0.png"), "--metrics", metrics[1], "--out", str(alone), "--device", "cpu"]) == 0
    )
    header, (row,) = read_results(alone)
    assert row.scores[0] == pytest.approx(rows[0].scores[1], abs=1e-5)
    assert scales_of(header.provenance)["aes1"] == scales["aes1"]  # so the two files can be compared
    assert main(["score", str(tmp_path / "0.png"), *command[:-2], "--resume", "--max-side", "50"]) == 2


@pytest.mark.quick
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["nique"], "unknown metric 'nique': did you mean"),
        (["lpips"], "does not score single images, since it needs a reference image: use `clipiqa table`"),
        (["fid"], "it rates a set of images"),
        (["clipscore"], "it needs a caption for each image"),
        (["clipiqa:backbone=mini", "clipiqa:backbone=mini"], "two metrics are called 'clipiqa'"),
        (["clipiqa:bckbone=mini"], "unknown key 'bckbone'"),
        (["a=clipiqa:backbone=mini,prompts=[quality, sharpness],aggregate=null"], "one score for each image"),
        (["clipiqa:backbone=mini", "--prompts", "sharpness"], "metrics have options of their own"),
    ],
)
def test_metrics_that_cannot_share_a_run_are_refused(asked, message, tmp_path, capfd):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    assert main(["score", str(tmp_path / "a.png"), "--metrics", *asked]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["npy", "lists", "fixed"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_stored_embeddings_are_scored(kind, dtype, empty_tower, vectors, shared, tmp_path):
    found = vectors("vit_l_14")
    stored = (7 * found).astype(dtype)  # of any length
    file = tmp_path / f"stored.{'npy' if kind == 'npy' else 'parquet'}"
    if kind == "npy":
        np.save(file, stored)
    else:
        flat = pyarrow.array(stored.ravel())
        column = pyarrow.FixedSizeListArray.from_arrays(flat, 768)
        if kind == "lists":
            column = pyarrow.ListArray.from_arrays(pyarrow.array(range(0, 7681, 768), pyarrow.int32()), flat)
        parquet.write_table(pyarrow.table({"vector": column, "id": list("abcdefghij")}), file)
    on = f"clip_weights={empty_tower('ViT-L/14')},quick_gelu=true"
    metrics = [f"laion_aes:{on},pretrained_model_path={shared}/data/laion/laion_v2_l14_linearMSE.pth"]
    metrics.append(f"v1=laion_aes:{on},pretrained_model_path={shared}/data/laion/sa_0_4_vit_l_14_linear.pth")
    keep = [] if kind == "npy" else ["--keep", "id"]
    command = ["score", str(file), "--embeddings", "--metrics", *metrics, "--device", "cpu", *keep]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    table = pandas.read_parquet(tmp_path / "out/stored.parquet")
    assert list(table.laion_aes) == pytest.approx(V2, abs=6e-4 if dtype == "float32" else 0.02)
    assert table.v1.iloc[-1] == pytest.approx(11.304, abs=6e-4 if dtype == "float32" else 0.02)
    assert kind == "npy" or list(table.id) == list("abcdefghij")


def test_embeddings_of_another_width_are_refused(empty_tower, vectors, shared, seeded_weights, tmp_path, capfd):
    np.save(tmp_path / "b32.npy", vectors("vit_b_32"))
    head = f"pretrained_model_path={shared}/data/laion/sa_0_4_vit_b_32_linear.pth"
    b32 = f"laion_aes:backbone=ViT-B/32,clip_weights={empty_tower('ViT-B/32')},quick_gelu=true,{head}"
    command = ["score", str(tmp_path / "b32.npy"), "--embeddings", "--device", "cpu", "--metrics"]
    assert main([*command, b32, "--out", str(tmp_path / "out")]) == 0
    table = pandas.read_parquet(tmp_path / "out/b32.parquet")
    assert table.laion_aes.iloc[[0, -1]].tolist() == pytest.approx([-1.470, 11.006], abs=6e-4)
    liqe = f"liqe:pretrained_model_path={seeded_weights('ViT-B/32')}"
    for asked, code, message in (
        (["clipiqa:backbone=mini"], 1, "but mini has 128 floats per image"),
        ([b32, "clipiqa:backbone=mini"], 2, "of one backbone; got metrics of ViT-B/32, mini"),
        ([liqe], 2, "but metric 'liqe' needs more"),
    ):
        assert main([*command, *asked, "--out", str(tmp_path / str(len(asked)) / asked[0][:4])]) == code
        assert message in capfd.readouterr().err


def test_an_image_too_small_for_one_of_them_keeps_the_scores_of_the_others(seeded_weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 224, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "low.png")
    maclip = f"maclip:clip_weights={seeded_weights('RN50')},quick_gelu=true"
    (row,) = score_paths(["clipiqa:backbone=mini", maclip], tmp_path / "low.png", device="cpu")
    assert row.scores[0] and row.scores[1] is None and row.kind is Kind.TOO_SMALL
    assert "cannot be scored by every metric: maclip: the image is 224×200 px, but maclip needs at least" in row.error
    clipiqa, maclip = (metric.net for metric in metric_set(["clipiqa:backbone=mini", maclip]).metrics)
    assert scoring_bytes(maclip, CPU) == PICTURE  # patches go in chunks, whatever the size of the photo
    assert scoring_bytes(clipiqa, CPU) > PICTURE
