"""``clipiqa train`` from a CSV file to a loaded metric, its resume, and its one-sentence errors."""

import math
import re

import pytest
import torch
from photos import BUNDLED, distorted_photos
from pyiqa.metrics import correlation_coefficient
from safetensors import safe_open

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli import train as train_command
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.stats.correlation import srocc


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return distorted_photos(folder, sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def table(photos, tmp_path):
    return write(tmp_path, "path,mos", [(path, index * 10) for index, path in enumerate(photos)])


def write(folder, header, rows):
    (folder / "scores.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return folder / "scores.csv"


def train(table, out, store, *more):
    command = ["train", str(table), "--out", str(out), "--features", str(store), "--backbone", "mini", "--quiet"]
    return main([*command, "--device", "cpu", "--epochs", "2", "--batch-size", "4", *more])


def content(path):
    """Tensors and metadata; safetensors writes the latter in no fixed order."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_from_csv_to_a_loaded_metric(table, tmp_path, store, photos, capsys):
    import pyiqa

    out = tmp_path / "run"
    assert train(table, out, store, "--prompts", "sharpness") == 0
    printed = capsys.readouterr().out
    for line in ("before training", "best epoch"):
        assert re.search(rf"{line}, 2 validation images: SROCC \S+, PLCC -?\d\.\d{{4}}, KRCC", printed)
    assert "log.csv" in printed
    metric = eval(printed.strip().splitlines()[-1], {"pyiqa": pyiqa})
    assert isinstance(metric.net, CLIPIQA) and "from best.safetensors" in repr(metric.net)
    assert metric.net.prompts[0].positive == "Sharp photo."
    x = read_image(photos[0]).pixels[None] / 255
    assert 0 <= metric(x.to(metric.device)).item() <= 1
    assert content(out / "best.safetensors")[1]["data_set"] == "scores"

    assert train(table, out, store) == 2
    assert "set --resume to continue" in capsys.readouterr().err
    assert train(table, out, store, "--resume", "--seed", "9") == 2
    assert "left by another run" in capsys.readouterr().err
    assert train(table, out, store, "--overwrite", "--seed", "9", "--epochs", "1") == 0


@pytest.fixture(scope="module")
def result(photos, store, tmp_path_factory):
    """A run on crops around the words of sharpness; five images test it."""
    folder = tmp_path_factory.mktemp("run")
    splits = ["val"] * 2 + ["train"] * 2 + ["test"] * 5
    rows = [(path, index % 5, split) for index, (path, split) in enumerate(zip(photos, splits, strict=True))]
    options = {"recipe": "pyiqa", "crop": 32, "crops": 2, "epochs": 1, "batch_size": 2, "pos_embedding": False}
    options |= {"backbone": "mini", "prompts": "sharpness", "features": store, "device": "cpu"}
    return clipiqa_pyiqa.train(write(folder, "path,mos,split", rows), folder / "run", **options)


def test_function_with_crops_and_test_split(result):
    assert (list(result.scores), result.best.name, result.recipe.crop) == (["val", "test"], "best.safetensors", 32)
    assert "from best.safetensors" in repr(result.metric)


def test_scores_before_training_are_those_of_the_words(photos, result, metric):
    x = torch.stack([read_image(path).pixels for path in photos[4:]]) / 255
    with torch.no_grad():
        scores = metric(x, "sharpness")[:, 0].numpy()
    assert result.before["test"]["srocc"] == pytest.approx(srocc(scores, [index % 5 for index in range(4, 9)]))


def test_an_epoch_without_a_validation_srocc_is_not_the_best_for_ever(table, tmp_path, store, monkeypatch, capsys):
    found = iter([math.nan, math.nan, 0.2, math.nan, 0.1])  # before training, then four epochs
    monkeypatch.setattr(correlation_coefficient, "calculate_srcc", lambda *pair: next(found))
    result = clipiqa_pyiqa.train(
        table, tmp_path / "run", features=store, device="cpu", backbone="mini", epochs=4, batch_size=4
    )
    assert result.scores["val"]["srocc"] == 0.2 and content(result.best)[1]["epoch"] == "2"


def test_killed_between_epochs_goes_on_to_the_same_result(table, tmp_path, store):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    schedule = ["--seed", "7", "--lr", "0.01", "--init", "random", "--epochs", "4"]
    torch.rand(3)  # what else draws from torch's generator does not matter
    assert train(table, whole, store, *schedule) == 0

    def killed(text):
        if text.startswith("epoch 2/"):  # said once the epoch is on disk
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_command, "note", killed)
        assert train(table, cut, store, *schedule) == 130
    assert train(table, cut, store, *schedule, "--resume") == 0
    for name in ("last.safetensors", "best.safetensors"):
        assert content(whole / name) == content(cut / name)
    assert (whole / "log.csv").read_text() == (cut / "log.csv").read_text()


def test_an_unknown_recipe_is_one_sentence(table, tmp_path, store, capsys):
    assert train(table, tmp_path / "run", store, "--recipe", "oficial") == 2
    assert "'official'" in capsys.readouterr().err
