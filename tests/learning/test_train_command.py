"""``clipiqa train`` from a CSV file to a loaded metric, its resume, and its one-sentence errors."""

from __future__ import annotations

import csv
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from photos import BUNDLED, distorted_photos
from safetensors import safe_open

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli import train as train_command
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.learning.feature_store import FeatureStore
from clipiqa_pyiqa.learning.recipe import find_recipe, read_recipe, with_options
from clipiqa_pyiqa.prompts.learned import Context
from clipiqa_pyiqa.stats.correlation import srocc

CONFIGS = Path(__file__).parents[2] / "configs/train"
FLAGS = ["--epochs", "2", "--batch-size", "4", "--quick-gelu", "--quiet"]


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    return distorted_photos(folder, sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def table(photos: list[Path], tmp_path: Path) -> Path:
    return write(tmp_path / "scores.csv", ["path", "mos"], [[path, index * 10] for index, path in enumerate(photos)])


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def train(table: object, out: Path, rn50: Path, store: Path, *more: str) -> int:
    options = ["--clip-weights", str(rn50), "--features", str(store), "--device", "cpu", *FLAGS, *more]
    return main(["train", str(table), "--out", str(out), *options])


def content(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Tensors and metadata; safetensors writes the latter in no fixed order."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}, file.metadata()  # noqa: SIM118


def test_from_csv_to_a_loaded_metric(table, tmp_path, rn50, store, photos, capsys):
    out = tmp_path / "run"
    assert train(table, out, rn50, store) == 0
    printed = capsys.readouterr().out
    assert re.search(r"validation images: SROCC -?\d\.\d{4}, PLCC -?\d\.\d{4}, KRCC -?\d\.\d{4}", printed)
    line = printed.strip().splitlines()[-1]
    import pyiqa

    metric = eval(line, {"pyiqa": pyiqa})
    assert isinstance(metric.net, CLIPIQA) and "from best.safetensors" in repr(metric.net)
    x = read_image(photos[0]).pixels[None] / 255
    assert 0 <= metric(x.to(metric.device)).item() <= 1
    assert list((out / "tensorboard").iterdir())


def test_function_returns_what_came_out_and_reads_features_once(table, tmp_path, rn50, store, monkeypatch):
    read, reads = FeatureStore.features, []
    monkeypatch.setattr(
        FeatureStore, "features", lambda self, *args, **more: reads.extend(args[0][:1]) or read(self, *args, **more)
    )
    options = {"batch_size": 4, "epochs": 2, "clip_weights": rn50, "quick_gelu": True}
    result = clipiqa_pyiqa.train(table, tmp_path / "run", features=store, **options)
    assert len(reads) == 2  # of the training images, and of those to validate on
    assert (result.epochs, list(result.scores), result.best.name) == (2, ["val"], "best.safetensors")
    assert "from best.safetensors" in repr(result.metric) and result.config.recipe.epochs == 2
    with pytest.raises(CLIPIQAError, match="no scores given"):
        clipiqa_pyiqa.train(None, tmp_path / "other")


def test_killed_between_epochs_goes_on_to_the_same_result(table, tmp_path, rn50, store):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    schedule = ["--recipe", "plain", "--seed", "7", "--lr", "0.01", "--init", "random"]
    assert train(table, whole, rn50, store, *schedule, "--epochs", "4") == 0

    def killed(text: str) -> None:
        if text.startswith("epoch 2/"):  # said once the epoch is on disk
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_command, "note", killed)
        assert train(table, cut, rn50, store, *schedule, "--epochs", "4") == 130
    assert train(table, cut, rn50, store, *schedule, "--epochs", "4", "--resume") == 0
    for name in ("last.safetensors", "best.safetensors"):
        assert content(whole / name) == content(cut / name)


def test_recipe_with_crops_and_test_split(photos, tmp_path, rn50, store, capsys):
    splits = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    rows = [[path.name, index, split] for index, (path, split) in enumerate(zip(photos, splits, strict=True))]
    table = write(tmp_path / "scores.csv", ["image_name", "dmos_mean", "subset"], rows)
    more = ["--root", str(photos[0].parent), "--columns", "image_name", "dmos_mean", "subset", "--lower-better"]
    recipe = ["--recipe", "pyiqa", "--crop", "32", "--crops", "2", "--epochs", "1", "--range", "0", "10"]
    assert train(table, tmp_path / "run", rn50, store, *more, *recipe) == 0
    printed = capsys.readouterr().out
    assert "2 test images: SROCC" in printed and "pos_embedding='interpolate'" in printed


BAD = {
    "no file": (lambda rows: None, [], "cannot be read"),
    "no score column": (lambda rows: (["path", "other"], rows), [], "no column of scores"),
    "no such column": (lambda rows: (["path", "mos"], rows), ["--columns", "path", "moss"], "no column called 'moss'"),
    "text for a score": (lambda rows: (["path", "mos"], [[rows[0][0], "good"], *rows]), [], "line 2: the score 'good'"),
    "nan": (lambda rows: (["path", "mos"], [*rows, [rows[0][0], "nan"]]), [], "line 11: the score 'nan'"),
    "constant": (lambda rows: (["path", "mos"], [[path, 3] for path, _ in rows]), [], "nothing to learn"),
    "out of range": (lambda rows: (["path", "mos"], rows), ["--range", "0", "50"], "score 60 is outside the range"),
    "range upside down": (lambda rows: (["path", "mos"], rows), ["--range", "5", "1"], "score_range is 5 to 1"),
    "missing images": (lambda rows: (["path", "mos"], [["gone.png", 1], *rows]), [], r"1 of 10 images .*gone.png"),
    "fewer than a batch": (lambda rows: (["path", "mos"], rows), ["--batch-size", "64"], "cannot fill a batch of 64"),
    "no val": (
        lambda rows: (["path", "mos", "split"], [[*row, "train"] for row in rows]),
        [],
        "leaves 0 images in the split",
    ),
    "odd split": (
        lambda rows: (["path", "mos", "split"], [[*row, "dev"] for row in rows]),
        [],
        "split 'dev' must be one of",
    ),
    "unknown recipe": (lambda rows: (["path", "mos"], rows), ["--recipe", "oficial"], "did you mean 'official'"),
    "crop too large": (lambda rows: (["path", "mos"], rows), ["--crop", "41"], "48×40 px, too small for crops of 41"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name, photos, tmp_path, rn50, store, capsys):
    make, more, message = BAD[name]
    content = make([[str(path), index * 10] for index, path in enumerate(photos)])
    table = tmp_path / "scores.csv"
    if content is not None:
        write(table, *content)
    assert train(table, tmp_path / "run", rn50, store, *more) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert "Traceback" not in error


def test_skip_missing(photos, tmp_path, rn50, store, capsys):
    rows = [["gone.png", 1.0], *([str(path), index] for index, path in enumerate(photos))]
    table = write(tmp_path / "scores.csv", ["path", "mos"], rows)
    assert train(table, tmp_path / "run", rn50, store, "--skip-missing", "--epochs", "1") == 0
    assert "images for 1 epoch\n" in capsys.readouterr().out


def test_earlier_run_and_its_resume(table, tmp_path, rn50, store, capsys):
    out = tmp_path / "run"
    assert train(table, out, rn50, store, "--epochs", "1") == 0
    assert train(table, out, rn50, store) == 2
    assert "Set resume to continue" in capsys.readouterr().err
    assert train(table, out, rn50, store, "--resume", "--seed", "9") == 2
    assert "left by another run" in capsys.readouterr().err
    assert train(table, out, rn50, store, "--overwrite", "--seed", "9", "--epochs", "1") == 0


@pytest.fixture
def pyiqas(photos, tmp_path) -> dict:
    """The options of configs/train/pyiqa.yml for six photos to train on and three to validate on."""
    options = yaml.safe_load((CONFIGS / "pyiqa.yml").read_text())
    rows = [[path.name, index * 10, "val" if index > 5 else "train"] for index, path in enumerate(photos)]
    table = {"meta_info_file": str(write(tmp_path / "meta.csv", ["img_name", "MOS", "official_split"], rows))}
    for block in options["datasets"].values():
        block |= {**table, "dataroot_target": str(photos[0].parent)}
    options["datasets"]["train"]["augment"]["random_crop"] = 32
    return options


@pytest.fixture
def trained(tmp_path, rn50, store, capsys):
    """Train on a configuration; returns the exit code and what was printed."""

    def run(options: dict, more: str = "") -> tuple[int, str]:
        (tmp_path / "my.yml").write_text(yaml.safe_dump(options) + more)
        given = ["--clip-weights", str(rn50), "--features", str(store), "--device", "cpu", *FLAGS, "--overwrite"]
        code = main(["train", "--config", str(tmp_path / "my.yml"), "--out", str(tmp_path / "run"), *given])
        return code, "".join(capsys.readouterr())

    return run


def test_config_of_pyiqas_trainer(pyiqas, trained, tmp_path):
    """Also as pyiqa's own train_CLIPIQA_koniq10k.yml is: splits in a pickle, mos_max, a key that comes twice."""
    assert "koniq10k: trained on 6 images" in trained(pyiqas)[1]
    splits = tmp_path / "official.pkl"
    splits.write_bytes(pickle.dumps({1: {"train": [0, 2, 4, 6], "val": [1, 3, 5], "test": [7, 8]}}))
    for block in pyiqas["datasets"].values():
        block |= {"split_file": str(splits), "split_index": None, "mos_range": None, "mos_max": 100}
    pyiqas["train"]["total_iter"] = 2000000
    code, said = trained(pyiqas, "\nname: and_the_last_counts\n")
    assert code == 0 and "trained on 4 images" in said and "3 validation images" in said and "2 test images" in said
    splits.unlink()
    assert "official.pkl' cannot be read: No such file" in trained(pyiqas)[1]


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("train", "total_epochs", 3, "unknown key 'total_epochs' in train: did you mean 'total_epoch'"),
        ("train", "optim", "Adam", "train: optim must be a"),
        ("train", "optim", None, "train has no 'optim'"),
        ("data", "split_file", 3, "datasets: train: split_file must be"),
        ("data", "split_file", "splits.pkl", "split_index must be a number in the split_file"),
        ("data", "mos_range", [0, "high"], "mos_range must be two numbers"),
        ("data", "batch_size_per_gpu", "8", "datasets: train: batch_size_per_gpu must be"),
        ("data", "batch_size_per_gpu", 0, "batch_size must be between 1 and"),
        ("data", "augment", {"rotate": True}, "unknown key 'rotate' in augment"),
        ("val", "meta_info_file", "other.csv", "datasets: val must have the options of datasets: train"),
        ("val", "augment", {"hflip": True}, "datasets: val must have the options of datasets: train"),
        ("val", "mos_rang", [0, 1], "unknown key 'mos_rang' in datasets: val: did you mean 'mos_range'"),
        ("datasets", "test", {}, "unknown key 'test' in datasets"),
        ("top", "manual_seed", "one", "manual_seed must be"),
        ("top", "datasets", [], "datasets must be"),
        ("top", "network", None, "has no 'network'"),
        ("network", "context", {"n_ctxs": 4}, "did you mean 'n_ctx'"),
    ],
)
def test_config_values_of_the_wrong_kind(block, key, value, message, tmp_path):
    options = yaml.safe_load((CONFIGS / "pyiqa.yml").read_text())
    data_sets = options["datasets"]
    blocks = {**options, "top": options, "data": data_sets["train"], "val": data_sets["val"]}
    blocks[block][key] = value
    (tmp_path / "x.yml").write_text(yaml.safe_dump(options))
    with pytest.raises(CLIPIQAError, match=message):
        Context.parse(read_recipe(tmp_path / "x.yml").network["context"])


def test_recipes_are_the_documented_ones():
    plain, official, pyiqa = (find_recipe(name) for name in ("plain", "official", "pyiqa"))
    assert [each.recipe.epochs for each in (plain, official, pyiqa)] == [50, 727, 50]
    assert [each.recipe.crop for each in (plain, official, pyiqa)] == [None, None, 384]
    assert [each.network["pos_embedding"] for each in (plain, official, pyiqa)] == [False, False, True]
    assert [each.network["context"]["shared"] for each in (plain, official, pyiqa)] == [False, True, False]
    assert [each.recipe.optim["type"] for each in (plain, official, pyiqa)] == ["Adam", "SGD", "Adam"]


def test_options_change_a_recipe():
    changed = with_options(find_recipe("official"), epochs=100, lr=1.0, crop=64, n_ctx=3, seed=1, backbone="mini")
    recipe, network = changed.recipe, changed.network
    assert (recipe.optim["lr"], recipe.scheduler["T_max"], recipe.crop, changed.seed) == (1.0, 2727 / 7.27, 64, 1)
    assert network["backbone"] == "mini" and network["context"] == {"n_ctx": 3, "shared": True, "init": "random"}
    assert with_options(changed, crop=0, lr=None).recipe.crop is None
    with pytest.raises(CLIPIQAError, match="epochs must be"):
        with_options(changed, epochs="ten")


def test_full_disk_loses_no_features(table, tmp_path, rn50, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    assert train(table, tmp_path / "run", rn50, tmp_path / "store") == 2
    assert re.search(r"features need .* MB, but .* has 0.0 MB left", capsys.readouterr().err)


def test_same_seed_same_result(table, tmp_path, rn50, store):
    for out in ("a", "b"):
        torch.rand(3)  # what else draws from torch's generator does not matter
        assert train(table, tmp_path / out, rn50, store, "--init", "random", "--epochs", "1") == 0
    assert content(tmp_path / "a/last.safetensors") == content(tmp_path / "b/last.safetensors")


def test_hidden_prompts_are_recovered_from_scores_of_photos(tmp_path):
    """Scores by hidden words on distorted photos are learned from a random start, and hold on photos held out.

    On the small CLIP in the package, which has been trained: features of a network with random weights hardly vary.
    """
    sources = sorted((Path(clipiqa_pyiqa.__file__).parent / "data/photos").glob("*.jpg"))
    photos = distorted_photos(tmp_path, sources, (96, 72), parts=4)
    held_out = [path.name.split(" ")[0] == sources[0].stem for path in photos]
    torch.manual_seed(123)  # the recipe's, so that this is what the command starts from
    start = CLIPIQA("clipiqa+", pretrained=False, backbone="mini", context={"n_ctx": 4, "init": "random"}).train()
    with torch.no_grad():
        features = torch.cat([start.encode_image(read_image(path).pixels[None] / 255) for path in photos])
        before = start.score(features)[:, 0]
        hidden = CLIPIQA(backbone="mini", prompts="colorfulness").score(features)[:, 0]
    assert abs(srocc(hidden[held_out], before[held_out])) < 0.5  # the start knows little of it
    splits = ["val" if out else "train" for out in held_out]
    rows = list(zip(photos, hidden.tolist(), splits, strict=True))
    table = write(tmp_path / "scores.csv", ["path", "score", "split"], rows)
    out = tmp_path / "run"
    command = ["train", str(table), "--out", str(out), "--backbone", "mini", "--n-ctx", "4", "--init", "random"]
    command += ["--epochs", "24", "--batch-size", "16", "--lr", "5e-3", "--range", "0", "1", "--device", "cpu"]
    assert main([*command, "--features", str(tmp_path / "store"), "--quiet"]) == 0
    assert json.loads(content(out / "best.safetensors")[1]["scores"])["srocc"] >= 0.95
