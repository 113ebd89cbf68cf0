"""An equal metric object is not scored again, and a file that was replaced has a hash of its own."""

import os

import pytest
import torch
from photos import save_grey

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.files.reading import hashes_of


class Half:
    """A metric that gives every image the same score."""

    lower_better = False
    metric_mode = "NR"

    def __init__(self):
        self.score = 0.5

    def __call__(self, image):
        return torch.full((len(image),), self.score)


@pytest.fixture
def scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_grey(tmp_path / "photos/0.png", 90)

    def score(metric, **more):
        list(score_paths([metric], "photos", out="s.csv", device="cpu", workers=1, resume=True, **more))
        return float((tmp_path / "s.csv").read_text().splitlines()[1].split(",")[1])

    return score


def test_what_has_not_changed_is_not_scored_again(scored, monkeypatch):
    assert scored(Half()) == 0.5
    monkeypatch.setattr(Half, "__call__", lambda *_: pytest.fail("scored again"))
    assert scored(Half()) == 0.5


def test_a_file_replaced_by_one_of_equal_size_and_time_has_its_own_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights, other = tmp_path / "w.pt", tmp_path / "other.pt"
    weights.write_bytes(b"one"), other.write_bytes(b"two")
    os.utime(weights, ns=(10**18, 10**18)), os.utime(other, ns=(10**18, 10**18))
    before = hashes_of([weights])
    os.replace(other, weights)
    assert hashes_of([weights]) != before
