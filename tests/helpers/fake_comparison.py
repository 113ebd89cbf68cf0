"""Comparisons made by hand, with what must come out of them, for tests of tables, pictures and the report."""

import numpy as np
import pandas
from PIL import Image

from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.results import Comparison

NASTY = "<script>alert(1)<!--&\"'$x_1$ 100% a|b \u202egpj.exe.png"
CONSTANT, FAILURE = "all scores are 0.5", "The weights <of> piqe & co. cannot be reached."


def photos(folder, count, nasty=False):
    """Small pictures, each of one colour that tells its number: red is six times the number. The last may be NASTY."""
    paths = []
    for number in range(count):
        name = NASTY if nasty and number == count - 1 else f"photo {number:02}.png"
        path = folder / name
        Image.new("RGB", (64, 48), (number * 6, 100, 200)).save(path)
        paths.append(str(path))
    return paths


def graded(folder, name="graded", count=40, **options):
    """``count`` images of opinion 1, 2, …, and metrics about which everything is known.

    'sharp' has the right order but for the first and the last image, which it swaps; 'niqe' is lower-better and ranks
    all images right; 'flat' is constant; 'piqe' failed.
    """
    paths = photos(folder, count, nasty=True)
    mos = np.arange(1.0, count + 1)
    sharp = mos / count
    sharp[[0, -1]] = sharp[[-1, 0]]
    scores = {
        "sharp": sharp,
        "niqe": 20 - 3 * np.sqrt(mos),
        "flat": np.full(count, 0.5),
        "piqe": np.full(count, np.nan),
    }
    metrics = {
        "sharp": MetricResult(
            score_range="0, 1",
            provenance={"metric": "CLIP-IQA <RN50>", "weights": "seeded"},
            seconds_per_image=0.0123,
        ),
        "niqe": MetricResult(
            lower_better=True,
            score_range="~0, ~100",
            provenance={"name": "niqe"},
            seconds_per_image=0.25,
            published_as="niqe",
        ),
        "flat": MetricResult(),
        "piqe": MetricResult(lower_better=True, score_range="0, 100", provenance={"name": "piqe"}, error=FAILURE),
    }
    return DataSetResult(
        name,
        pandas.DataFrame(scores, index=pandas.Index(paths, name="path")),
        pandas.Series(mos, index=paths),
        metrics=metrics,
        note="test split, 64×48, seed 0",
        published_as="livec",
        bootstrap=100,
        **options,
    )


def folder_only(folder):
    """Ten images that nobody rated."""
    paths = photos(folder, 10)
    scores = pandas.DataFrame({"sharp": np.linspace(0.1, 1.0, 10)}, index=pandas.Index(paths, name="path"))
    return DataSetResult("holiday", scores, None, metrics={"sharp": MetricResult(score_range="0, 1")})


def comparison(folder):
    """Graded images with one left out, the same as DMOS under a nasty name, and a folder that nobody rated."""
    first = graded(folder, skipped={f"{folder}/broken.png": "it is truncated"})
    mos = first.mos
    assert mos is not None
    second = DataSetResult(
        "dmos_<b>&%", first.scores, -mos, mos_lower_better=True, metrics=first.metrics, bootstrap=100
    )
    return Comparison(
        (first, second, folder_only(folder)), {"clipiqa_pyiqa": "0.1", "command": "clipiqa compare -m <x>"}
    )
