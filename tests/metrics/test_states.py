"""A metric object that has changed, in whatever it holds, gives no old scores."""

import os

import numpy as np
import pytest
import torch
from photos import save_grey

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.files.hashes import hashes_of


class Shifted:
    """A metric whose score is the sum of all that it holds."""

    lower_better = False
    metric_mode = "NR"
    weights = (0.0,)

    def __init__(self):
        self.scale = 1.0  # unchanged
        self.steps, self.table, self._hidden, self.part = [0.0], {"a": 0.0}, 0.0, [np.zeros(1)]

    def __call__(self, image):
        held = self.steps[0] + self.table["a"] + self._hidden + self.weights[0] + self.part[0][0]
        return torch.full((len(image),), 0.5 + float(held))


def listed(metric):
    metric.steps[0] = 0.25


def mapped(metric):
    metric.table["a"] = 0.25


def hidden(metric):
    metric._hidden = 0.25


def of_the_class(metric):
    type(metric).weights = (0.25,)


def nested(metric):
    metric.part[0][0] = 0.25


def unseen(metric):
    metric.step = lambda: 0.25
    metric.steps[0] = 0.25


@pytest.fixture
def scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Shifted, "weights", (0.0,))
    save_grey(tmp_path / "photos/0.png", 90)

    def score(metric, **more):
        list(score_paths([metric], "photos", out="s.csv", device="cpu", workers=1, resume=True, **more))
        return float((tmp_path / "s.csv").read_text().splitlines()[1].split(",")[1])

    return score


def test_what_has_not_changed_is_not_scored_again(scored, monkeypatch):
    scored(Shifted())
    monkeypatch.setattr(Shifted, "__call__", lambda *_: pytest.fail("scored again"))
    scored(Shifted())


def test_a_file_replaced_by_one_of_equal_size_and_time_has_its_own_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights, other = tmp_path / "w.pt", tmp_path / "other.pt"
    weights.write_bytes(b"one"), other.write_bytes(b"two")
    os.utime(weights, ns=(10**18, 10**18)), os.utime(other, ns=(10**18, 10**18))
    before = hashes_of([weights])
    os.replace(other, weights)
    assert hashes_of([weights]) != before
