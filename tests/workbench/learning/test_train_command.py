"""``clipiqa train`` from a CSV file to a loaded metric, its resume, and its one-sentence errors."""

import math
import re

import pyiqa
import pytest
import torch
from safetensors import safe_open

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.learning import correlations, epochs
from clipiqa_pyiqa.workbench.stats.correlation import srocc


@pytest.fixture
def table(photos, tmp_path):
    return write(tmp_path, "path,mos", [(path, index * 10) for index, path in enumerate(photos)])


def write(folder, header, rows):
    (folder / "scores.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return folder / "scores.csv"


@pytest.fixture
def train(clipiqa, table, store):
    """Run ``train`` for two epochs, or as many as the further options say."""
    given = f"train {table} --features {store} -b mini -q --device cpu --batch-size 4 --val-fraction 0.3 --out"

    def run(out, more="", *said):
        epochs = "" if "--epochs" in more else "--epochs 2"
        return clipiqa(f"{given} {out} {epochs} {more}", *said)

    return run


def content(path):
    """Tensors and metadata; safetensors writes the latter in no fixed order."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_from_csv_to_a_loaded_metric(train, tmp_path, photos):
    out = tmp_path / "run"
    printed = train(out, "--prompts sharpness", 0).out
    assert len(re.findall(r", 3 validation images: SROCC \S+, PLCC \S+, KRCC", printed)) == 2  # before, best
    metric = eval(printed.strip().splitlines()[-1], {"pyiqa": pyiqa})
    assert isinstance(metric.net, CLIPIQA) and "from best.safetensors" in repr(metric.net)
    assert metric.net.prompts[0].positive == "Sharp photo."
    x = read_image(photos[0]).pixels[None] / 255
    assert 0 <= metric(x.to(metric.device)).item() <= 1
    assert content(out / "best.safetensors")[1]["data_set"] == "scores"


def test_whole_texts_are_learned_by_every_recipe(train, tmp_path):
    for recipe in ("plain", "official"):
        train(tmp_path / recipe, f"--recipe {recipe} --init words", 0)
        assert content(tmp_path / recipe / "last.safetensors")[1]["class_position"] == "none"
    assert "leave out --n-ctx" in train(tmp_path / "other", "--init words --n-ctx 4", 2).err


def test_the_run_of_another_is_neither_replaced_nor_continued(train, tmp_path):
    train(tmp_path, "", 0)
    train(tmp_path, "", 2)
    train(tmp_path, "--resume --seed 9", 2)
    train(tmp_path, "--overwrite --seed 9", 0)


def test_a_run_on_crops_has_the_scores_of_its_words_before_training(photos, store, metric, tmp_path):
    """Around the words of sharpness; three images test it."""
    splits = ["val"] * 3 + ["train"] * 3 + ["test"] * 3
    rows = [(path, index % 5, split) for index, (path, split) in enumerate(zip(photos, splits, strict=True))]
    options = {"recipe": "pyiqa", "crop": 32, "crops": 2, "epochs": 1, "batch_size": 2, "pos_embedding": False}
    options |= {"backbone": "mini", "prompts": "sharpness", "features": store, "device": "cpu"}
    drawn = torch.get_rng_state()
    result = clipiqa_pyiqa.train(write(tmp_path, "path,mos,split", rows), tmp_path / "run", **options)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert list(result.scores) == ["val", "test"] and "from best.safetensors" in repr(result.metric)
    x = torch.stack([read_image(path).pixels for path in photos[6:]]) / 255
    with torch.no_grad():
        scores = metric(x, "sharpness")[:, 0].numpy()
    assert result.before["test"]["srocc"] == pytest.approx(srocc(scores, [index % 5 for index in range(6, 9)]))


def test_an_epoch_without_a_validation_srocc_is_not_the_best_for_ever(train, tmp_path, monkeypatch):
    reached = iter([math.nan, 0.2, math.nan, 0.1, 0.1])  # in four epochs; then on the images of the judgement
    monkeypatch.setattr(correlations, "srocc", lambda *pair: next(reached))
    train(tmp_path, "--epochs 4", 0)
    assert content(tmp_path / "best.safetensors")[1]["epoch"] == "2"


def test_killed_between_epochs_goes_on_to_the_same_result(train, tmp_path):
    whole = tmp_path / "whole"
    cut = tmp_path / "cut"
    schedule = "--seed 7 --lr 0.01 --init random --epochs 4"
    torch.rand(3)  # what else draws from torch's generator does not matter
    train(whole, schedule, 0)

    def killed(text, *more):
        if text.startswith("epoch 2/"):  # said once the epoch is on disk
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.log, "info", killed)
        train(cut, schedule, 130)
    train(cut, f"{schedule} --resume", 0)
    for name in ("last.safetensors", "best.safetensors"):
        assert content(whole / name) == content(cut / name)
    log = (whole / "log.csv").read_text()
    assert log == (cut / "log.csv").read_text() and log.startswith("epoch,loss,srocc,plcc,krcc\n1,")
