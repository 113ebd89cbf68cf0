"""What ``compare --resume`` tells of metrics that an earlier run finished, and this one does not name."""

import numpy as np
import pandas
import pytest
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import compare
from clipiqa_pyiqa.prompts.pairs import PRESETS
from clipiqa_pyiqa.workbench.compare.data_set_result import DataSetResult
from clipiqa_pyiqa.workbench.compare.metric_result import MetricResult
from clipiqa_pyiqa.workbench.compare.published_metric import published_in_record
from clipiqa_pyiqa.workbench.compare.tables import build_tables
from clipiqa_pyiqa.workbench.opinions.published import ENSEMBLE, PAPER


@pytest.fixture
def rated(tmp_path):
    """Eight images and their opinions."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("L").resize((450, 300))
    for number in range(8):
        crop = photo.crop((30 * number, 20 * number, 30 * number + 96, 20 * number + 80))
        crop.filter(ImageFilter.GaussianBlur(number % 3)).save(tmp_path / f"{number}.png")
    write_opinions(tmp_path, 8)
    return tmp_path


def write_opinions(folder, count):
    lines = [f"{number}.png,{number % 5}" for number in range(count)]
    (folder / "mos.csv").write_text("\n".join(["image,mos", *lines]))


def test_that_mini_was_trained_on_the_images_is_still_said(rated, monkeypatch):
    monkeypatch.setattr(
        "clipiqa_pyiqa.workbench.compare.training_notes.seen_by_mini", lambda paths, hashes: [True] * len(paths)
    )
    options = {"data_sets": rated / "mos.csv", "out": rated / "out", "bootstrap": 0, "device": "cpu"}
    compare("mini", **options)
    (data,) = compare("entropy", resume=True, **options).data_sets
    assert "mini was trained on 8 of these 8 images" in data.note


def test_published_values_stand_beside_finished_metrics_too():
    ours = {"metric": "clipiqa", "backbone": "RN50", "weights": "openai f324e905", "pos_embedding": "none"}
    five = [list(pair.texts) for pair in PRESETS["pyiqa"]]
    for record, name in [
        ({"metric": "niqe", "options": {}}, "niqe"),
        ({"metric": "niqe", "options": {"test_y_channel": False}}, ""),
        ({**ours, "questions": [["Good photo.", "Bad photo."]]}, PAPER),
        ({**ours, "questions": five}, ENSEMBLE),
        ({**ours, "questions": five, "backbone": "RN101"}, ""),
        ({**ours, "questions": five, "weights": "file RN50.pt 12345678"}, ENSEMBLE),
        ({**ours, "questions": five, "metric": "clipiqa+", "learned": {}}, ""),
        ({"metric": "judge", "file": "judge.csv"}, ""),
    ]:
        assert published_in_record(record).name == name


def test_weights_of_an_earlier_run_are_openais_by_their_hash():
    ours = {"metric": "clipiqa", "backbone": "RN50", "pos_embedding": "none"}
    ours["questions"] = [["Good photo.", "Bad photo."]]
    for weights, is_openais in [
        ("openai da0baa37", True),
        ("openai afeb0e10", True),
        ("openai f324e905", False),
        ("file RN50.pt da0baa37", False),
    ]:
        found = published_in_record({**ours, "weights": weights})
        assert found.name == PAPER and (not found.difference) == is_openais


def test_a_metric_that_is_ahead_on_the_shared_images_is_not_below_the_best():
    """The best metric scored the half of the images where people agree with it, which the other ranks still better."""
    draw = np.random.default_rng(0)
    mos = np.arange(300.0)
    half = mos % 2 == 0
    first = np.where(half, mos + draw.normal(0, 20, 300), np.nan)
    second = np.where(half, mos + draw.normal(0, 1, 300), draw.permutation(mos))
    paths = [f"{number}.png" for number in range(300)]
    scores = pandas.DataFrame({"first": first, "second": second}, pandas.Index(paths, name="path"))
    metrics = {name: MetricResult() for name in scores}
    data = DataSetResult("half", scores, pandas.Series(mos, paths), metrics=metrics, bootstrap=200)
    pair = data.pairs.query("statistic == 'SROCC'").iloc[0]
    assert pair["significant"] and pair["difference"] < 0
    columns = [column for table in build_tables([data]) for column in table.columns]
    column = next(column for column in columns if column.name == "SROCC")
    cells = dict(zip(data.estimates, column.cells, strict=True))
    assert cells["first"].mark == "best" and not cells["second"].has_dagger
