"""Comparisons made by hand, with what must come out of them, for tests of tables, pictures and the report."""

import numpy as np
import pandas
from PIL import Image

from clipiqa_pyiqa.workbench.compare.comparison import Comparison
from clipiqa_pyiqa.workbench.compare.data_set_result import DataSetResult
from clipiqa_pyiqa.workbench.compare.metric_result import MetricResult
from clipiqa_pyiqa.workbench.results.columns import Column

NASTY = "<script>alert(1)<!--&\"'$x_1$ 100% a|b \u202egpj.exe.png"
CONSTANT, FAILURE = "all scores are 0.5", "The weights <of> piqe & co. cannot be reached."


def photos(folder, count, nasty=False):
    """Small pictures, each of one colour that tells its number: red is six times the number. The last may be NASTY."""
    paths = [str(folder / f"photo {number:02}.png") for number in range(count)]
    if nasty:
        paths[-1] = str(folder / NASTY)
    for number, path in enumerate(paths):
        Image.new("RGB", (64, 48), (number * 6, 100, 200)).save(path)
    return paths


def graded(folder, **options):
    """40 images of opinion 1, 2, …, and metrics about which everything is known.

    'sharp' has the right order but for the first and the last image, which it swaps; 'niqe' is lower-better and ranks
    all images right; 'flat' is constant; 'piqe' failed.
    """
    paths = photos(folder, 40, nasty=True)
    mos = np.arange(1.0, 41)
    sharp = mos / 40
    sharp[[0, -1]] = sharp[[-1, 0]]
    scores = {"sharp": sharp, "niqe": 20 - 3 * np.sqrt(mos), "flat": 0.5, "piqe": np.nan}
    low = {"lower_better": True}
    about = {"metric": "CLIP-IQA <RN50>", "weights": "seeded", "range": [0, 1]}
    metrics = {
        "sharp": MetricResult(Column("sharp", about)),
        "niqe": MetricResult(Column("niqe", {**low, "range": [0, None]}), published_as="niqe"),
        "flat": MetricResult(),
        "piqe": MetricResult(Column("piqe", {**low, "range": [0, 100]}), error=FAILURE),
    }
    return DataSetResult(
        "graded",
        pandas.DataFrame(scores, pandas.Index(paths, name="path")),
        pandas.Series(mos, index=paths),
        metrics=metrics,
        note="test split, 64×48, seed 0",
        published_as="livec",
        bootstrap=100,
        **options,
    )


def comparison(folder):
    """Graded images with one left out, the same as DMOS under a nasty name, and ten photos that nobody rated."""
    first = graded(folder, skipped={"broken.png": "'broken.png' is truncated."})
    options = {"mos_lower_better": True, "metrics": first.metrics, "bootstrap": 100}
    second = DataSetResult("dmos_<b>&%", first.scores, -first.mos, **options)
    index = pandas.Index(photos(folder, 10), name="path")
    scores = pandas.DataFrame({"sharp": np.linspace(0.1, 1.0, 10)}, index)
    third = DataSetResult("holiday", scores, pandas.Series(), metrics={"sharp": first.metrics["sharp"]})
    return Comparison((first, second, third), {"clipiqa_pyiqa": "0.1", "command": "clipiqa compare -m <x>"})
