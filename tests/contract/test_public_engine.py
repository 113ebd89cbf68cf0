"""The engine and what it keeps: changed images and metrics, several metrics of one run, one of which may fail."""

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, compare, read_scores, score_paths

MINI = "clipiqa=mini"


@pytest.fixture
def photos(tmp_path):
    """Twenty noisy images of one size, the brighter the later."""
    folder = tmp_path / "photos"
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(20):
        pixels = generator.integers(0, 40, (112, 112, 3)) + 10 * number
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


class Weighted:
    """A metric object with weights."""

    lower_better, score_range = True, "~0, ~"

    def __init__(self, weight):
        self.weight = torch.tensor(weight)

    def __call__(self, x):
        return x.mean().view(1, 1) * self.weight


@pytest.mark.slow
def test_metrics_of_pyiqa_and_objects_score_beside_clip_and_as_alone(photos, csv):
    entropy = pyiqa.create_metric("entropy", device="cpu")
    given = [MINI, "piqe", {"object": entropy}, {"own": Weighted(3.0)}]
    rows = list(score_paths(given, photos, out=csv, device="cpu"))
    scales = read_scores(csv).columns
    assert [scale.lower_better for scale in scales.values()] == [False, True, False, True]
    assert [scales[name].bounds for name in ("piqe", "own")] == [(0, 100), (None, None)]
    row = rows[7]
    theirs = [pyiqa.create_metric("piqe", device="cpu"), entropy]
    assert np.float32(row.scores[1:3]).tolist() == [np.float32(metric(row.path).item()) for metric in theirs]
    (alone,) = score_paths(CLIPIQA(backbone="mini"), row.path, device="cpu")
    assert row.scores[0] == pytest.approx(alone.scores[0], abs=2e-6)
    compared = compare(given[1:], str(photos)).data_sets[0].scores
    assert compared["piqe"].tolist() == [row.scores[1] for row in rows]


def test_what_cannot_be_built_is_empty_and_strict_stops_at_once(photos, csv, clipiqa):
    given = ["entropy", "niqe:version=nobodys"]
    rows = list(score_paths(given, photos, out=csv))
    again = score_paths(given, photos, out=csv, resume=True)
    assert (
        not list(again) and [metric.label for metric in again.metrics.broken] == given[1:]
    )  # no image is decoded for it
    assert again.tally.unchanged == len(rows)
    clipiqa(f"score photos -m {' '.join(given)}", 1, f"scores: entropy {len(rows)}, niqe:version=nobodys 0")
    assert all(row.scores[0] and row.scores[1] is None and "cannot be built" in row.error for row in rows)
    for names, strict in ((given, True), (given[1], False)):
        refused(score_paths, names, photos, strict=strict)


@pytest.mark.slow
def test_the_command_scores_by_any_metric_and_rank_and_gate_know_its_good_end(photos, csv, clipiqa):
    Image.new("RGB", (20, 20)).save(photos / "small.png")
    clipiqa(f"score photos -m {MINI} piqe entropy --out s.csv", 1, "20 scored, 1 failed")
    assert pandas.read_csv(csv)["entropy"].notna().all()
    assert "lower is better (as s.csv says)" in clipiqa("rank s.csv --by piqe --worst 1").err
    clipiqa("gate s.csv s.csv --by piqe --allow-missing 1", 0, out="lower is better")
