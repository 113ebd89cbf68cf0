"""An equal metric object is not scored again."""

import pyiqa
import pytest
import torch
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import score_paths


class Half:
    """A metric that gives every image the same score."""

    lower_better = False
    metric_mode = "NR"

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return torch.full((len(image),), 0.5)


@pytest.fixture
def scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_grey(tmp_path / "photos/0.png", 90)

    def score(metric, **more):
        list(score_paths([metric], "photos", out="s.csv", device="cpu", workers=1, resume=True, **more))
        return float((tmp_path / "s.csv").read_text().splitlines()[1].split(",")[1])

    return score


def test_an_object_with_a_version_is_scored_again_only_if_the_version_changes(scored):
    metric = Half()
    equal = Half()
    metric.version = "1"
    equal.version = "1"
    assert [scored(each) for each in (metric, metric, equal)] == [0.5] * 3
    assert (metric.calls, equal.calls) == (1, 0)
    equal.version = 2
    assert "metric_version" in refused(scored, equal)
    assert scored(equal, overwrite=True) == 0.5 and equal.calls == 1


def test_an_object_without_a_version_is_scored_again_with_a_line_that_says_so(scored, caplog):
    metric = Half()
    assert [scored(metric), scored(metric)] == [0.5] * 2 and metric.calls == 2
    assert "Half scores all images again, since its object has no attribute `version`." in caplog.messages


def test_an_object_of_pyiqa_is_told_by_its_name_its_options_and_its_networks_numbers(scored):
    """Scoring changes nothing of it: PIQE keeps the blocks of its last image."""
    metric, equal = (pyiqa.create_metric("piqe", device="cpu") for _ in range(2))
    score = scored(metric)
    assert [scored(metric), scored(equal)] == [score] * 2
    equal.check_input_range = False
    assert "options" in refused(scored, equal)
