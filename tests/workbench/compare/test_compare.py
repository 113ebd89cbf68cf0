"""Metrics side by side: the numbers, what is shared, what is left out, and what is kept of a run that ends early."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from inputs import graded_data_set
from photos import BUNDLED
from PIL import Image
from pyiqa.data import build_dataset
from scipy import stats
from torchvision.transforms.functional import to_tensor

from clipiqa_pyiqa import CLIPIQA, compare
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.workbench.images.in_memory import memory_image
from clipiqa_pyiqa.workbench.opinions.data_set import DataSet
from clipiqa_pyiqa.workbench.opinions.data_sets import parse_data_sets
from clipiqa_pyiqa.workbench.options import AnySize

MINI = {"metric": "clipiqa", "metric_opts": {"backbone": "mini"}}


ENDING = []  # calls that are interrupted; in a metric, they would be a part of its state


class Spread:
    """Grows with contrast; records how many images it was given."""

    version = "1"

    def __init__(self, lower_better=False):
        self.lower_better, self.calls = lower_better, 0

    def __call__(self, x):
        assert x.shape[0] == 1 and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        if self.calls in ENDING:
            raise KeyboardInterrupt
        self.calls += 1
        return x.std() * (-1 if self.lower_better else 1)


def made(count, side=8):
    """Images of one colour each, from black on."""
    images = [memory_image(f"/{number}", torch.full((3, side, side), number / count)) for number in range(count)]
    for image in images:
        image.stamp = lambda: "as made"
    return DataSet("made", tuple(images), None)


def rows(comparison):
    """A row per metric, of the first data set."""
    return comparison.frame().set_index("metric")


@pytest.fixture
def rated(tmp_path):
    """Twelve pictures of three scenes with opinions and splits."""
    lines = ["path,mos,split,scene"]
    for number in range(12):
        image = Image.radial_gradient("L").point(lambda value, n=number: value * (n + 3) // 16)
        image.resize((64, 48)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{number % 4 + (number == 9)},{('train', 'test')[number % 2]},{'abc'[number // 4]}")
    (tmp_path / "rated.csv").write_text("\n".join(lines))
    return tmp_path / "rated.csv"


def test_only_images_of_the_split_are_compared(rated):
    (data,) = compare({"spread": Spread()}, f"{rated}:split=test").data_sets
    assert [Path(path).stem for path in data.scores.index] == ["1", "3", "5", "7", "9", "11"]
    assert "split test" in data.note
    for split in ("test2", "val"):
        refused(parse_data_sets, f"{rated}:split={split}")


def test_the_mean_correlation_within_scenes_is_that_of_each_scene(clipiqa, rated):
    row = rows(compare({"spread": Spread()}, rated, within="scene", bootstrap=100)).loc["spread"]
    assert row["SROCC within"] == pytest.approx((1 + 1 + 0.9487) / 3, abs=1e-4)
    assert row["SROCC within low"] == pytest.approx(0.9487, abs=1e-4) and row["SROCC"] < 0.9
    clipiqa(f"compare -m mini -d {rated} --within scenes", 2, "'scenes'")


def test_minis_own_photos_can_be_left_out(contrasts, monkeypatch, caplog):
    for count in (2, 5):
        seen = [True] * count + [False] * (5 - count)
        monkeypatch.setattr(
            "clipiqa_pyiqa.workbench.compare.compare.seen_by_mini", lambda paths, hashes, seen=seen: seen
        )
        if count == 5:
            refused(compare, {"mini": MINI}, **contrasts, without_mini_photos=True)
        else:
            (data,) = compare({"mini": MINI}, **contrasts, without_mini_photos=True).data_sets
            told = "left out: 2 images that mini was trained on"
            assert len(data.scores) == 3 and data.note.endswith(told) and caplog.messages[-1] == f"data: {told}"


def test_correlations_are_those_of_the_raw_scores(tmp_path):
    photos = sorted(BUNDLED.glob("*.jpg"))[:2]
    options = graded_data_set(tmp_path, photos, ["blur", "noise"], size=(96, 64))
    metrics = {"piqe": None, "entropy": None, "mini": MINI}
    found = compare(metrics, {"graded": options}, data_root=tmp_path, out=tmp_path / "out", bootstrap=50)
    kept = pandas.read_parquet(tmp_path / "out" / "scores" / "graded.parquet").set_index("path")
    assert len(kept) == 2 * 9 and set(kept["mos"]) == {1.0, 2.0, 3.0, 4.0, 5.0}
    for label, row in rows(found).iterrows():
        sign = -1 if label == "piqe" else 1  # lower-better
        assert row["n"] == 18 and row["direction"] == ("lower" if label == "piqe" else "higher")
        scipys = [f(kept[label], kept["mos"])[0] * sign for f in (stats.spearmanr, stats.pearsonr, stats.kendalltau)]
        assert list(row[["SROCC", "PLCC", "KRCC"]]) == pytest.approx(scipys, abs=1e-9)
        assert row["SROCC low"] <= row["SROCC"] <= row["SROCC high"]
    path = kept.index[1]
    assert np.float32(kept.loc[path, "piqe"]) == pyiqa.create_metric("piqe", device="cpu")(path).item()
    pixels = to_tensor(Image.open(path))[None]
    assert kept.loc[path, "mini"] == pytest.approx(CLIPIQA(backbone="mini")(pixels).item(), abs=1e-6)
    assert kept.attrs["scores"]["mini"]["backbone"] == "mini"


def test_a_random_metric_depends_on_seed_and_image_alone(tmp_path):
    before = torch.random.get_rng_state()

    def scores(seed):
        metrics = {"drawn": lambda x: torch.rand(1), "mini": MINI}
        again = compare(metrics, made(3, 40), out=tmp_path, seed=seed, resume=True)
        assert again.data_sets[0].scores["drawn"].nunique() == 1
        return [again.data_sets[0].scores[name].tolist() for name in ("drawn", "mini")]

    first, mini = scores(0)
    second, same = scores(1)
    assert first == scores(0)[0] != second and mini == same
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_failing_metric_is_told_and_the_others_finish(contrasts):
    def choosy(x):
        if x.std() < 0.1:
            raise RuntimeError("too flat\nfor me")
        return x.mean()

    missing = {"metric": "niqe", "metric_opts": {"version": "nobody's"}}
    two = {"metric": "clipiqa", "metric_opts": {"backbone": "mini", "prompts": ["happy", "new"], "aggregate": None}}
    nan = lambda x: torch.tensor([math.nan])  # noqa: E731
    metrics = {"fine": Spread(), "choosy": choosy, "nan": nan, "missing": missing, "two": two}
    row = rows(compare(metrics, **contrasts)).loc
    assert row["fine", "n"] == 5 and row["fine", "SROCC"] == pytest.approx(1) and not row["fine", "note"]
    assert 0 < row["choosy", "n"] < 5 and "RuntimeError: too flat for me" in row["choosy", "note"]
    assert row["nan", "n"] == 0 and "not finite" in row["nan", "note"]
    assert row["missing", "n"] == 0 and "cannot be built" in row["missing", "note"]
    assert "aggregate=mean" in row["two", "note"]


def test_a_run_goes_on_where_an_error_ended_it(tmp_path):
    def calls(metrics, **options):
        compare(metrics, made(5), out=tmp_path, batch_size=1, **options)
        return [metric.calls for metric in metrics.values()]

    ENDING.append(3)
    with pytest.raises(KeyboardInterrupt):
        calls({"spread": Spread()})
    ENDING.clear()
    with pytest.raises(ValueError):
        calls({"spread": Spread()})
    assert calls({"spread": Spread()}, resume=True) == [2]
    assert calls({"spread": Spread(), "flat": Spread(lower_better=True)}, resume=True) == [0, 5]
    assert calls({"spread": Spread()}, overwrite=True) == [5]


@pytest.mark.parametrize("name", ["comparison.md", "scores/made.parquet"])
def test_no_file_of_others_is_replaced(tmp_path, name):
    theirs = tmp_path / name
    metric = Spread()
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")
    for data, overwrite in ((made(2), False), (replace(made(2), table=str(theirs)), True)):  # the latter reads it
        with pytest.raises(OutputError):
            compare({"m": metric}, data, out=tmp_path, overwrite=overwrite)
    assert theirs.read_text() == "theirs" and not metric.calls


def test_pixels_of_a_data_set_are_pyiqas(contrasts):
    root = contrasts["data_root"]
    options = contrasts["data_sets"]["data"] | {"augment": {"resize": 40}, "phase": "test"}
    (data,) = parse_data_sets({"graded": options}, root)
    places = ("dataroot_target", "meta_info_file")
    theirs = build_dataset(options | {key: str(options[key]).replace("./datasets", str(root)) for key in places})
    assert len(theirs) == len(data.paths) == 5
    item = theirs[3]
    assert item["img_path"] == data.paths[3] and item["mos_label"].item() == data.mos[3]
    assert item["img"].shape[-2:] == (40, 53) and torch.equal(item["img"], data.images[3].load(AnySize()).pixels)
