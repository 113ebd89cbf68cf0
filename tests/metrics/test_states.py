"""An equal metric object is not scored again."""

import os
import subprocess
import sys

import pytest
import torch
from photos import save_grey
from refusal import refused

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.metrics.parsing import metric_set
from clipiqa_pyiqa.results.columns import Column, changes
from clipiqa_pyiqa.scoring.score import ScoringSetup


class Half:
    """A metric that gives every image the same score."""

    lower_better = False
    metric_mode = "NR"

    lowest = 0.0

    def __init__(self):
        self.score, self._calls, self.steps, self.names = 0.5, 0, [{"by": [0.0]}], {"some", "names", "in any order"}
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def __call__(self, image):
        self._calls += 1
        return torch.full((len(image),), self.lowest + self.score + self.steps[0]["by"][0]) + self.bias


@pytest.fixture
def scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_grey(tmp_path / "photos/0.png", 90)

    def score(metric, **more):
        list(score_paths([metric], "photos", out="s.csv", device="cpu", workers=1, resume=True, **more))
        return float((tmp_path / "s.csv").read_text().splitlines()[1].split(",")[1])

    return score


def test_every_field_of_a_record_counts_but_those_of_names_and_circumstances():
    for given in ["mini", "entropy", Half()]:
        head = ScoringSetup([given], device="cpu").head
        record = {
            **dict.fromkeys(("weights", "file", "version")),
            "files": {},
            **head.columns[0].record,
            **head.reading,
        }
        for key in [*record, "learned", "seen"]:
            before = {**record, "learned": {"sha256": "1", "from": "x"}}
            now = {**before, key: "other"}
            counts = key not in ("weights", "file", "files", "version", "versions", "device", "decoders")
            assert bool(changes(before, now)) == counts, key
            assert (Column("a", before).fingerprint != Column("b", now).fingerprint) == counts, key
            assert not changes(before, {**before, "learned": {"sha256": "1", "from": "y"}})


def test_what_a_caller_changes_is_scored_again_and_what_a_call_changes_is_not(scored, monkeypatch):
    metric, equal = Half(), Half()
    assert [scored(each) for each in (metric, metric, equal)] == [0.5] * 3 and (metric._calls, equal._calls) == (1, 0)
    changes = [
        lambda: metric.bias.data.add_(1),
        lambda: metric.steps[0]["by"].append(metric.steps[0]["by"].pop() + 1),
        lambda: monkeypatch.setattr(Half, "lowest", 1.0),
        lambda: monkeypatch.setattr(metric, "_calls", 9),
    ]
    for calls, change in enumerate(changes, 2):
        change()
        assert "state" in refused(scored, metric)
        assert scored(metric, overwrite=True) == min(calls - 0.5, 3.5)
    metric.network = lambda: None  # which cannot be hashed
    assert [scored(metric) and metric._calls for _ in range(2)] == [11, 12]


def test_a_state_is_equal_in_every_process():
    code = "from test_states import Half, metric_set; print(metric_set({'a': Half()}).columns[0].fingerprint)"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == metric_set({"a": Half()}).columns[0].fingerprint
