"""An equal metric object is not scored again."""

import pyiqa
import pytest
import torch
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.workbench.metrics.description import Takes
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics
from clipiqa_pyiqa.workbench.results.columns import Column, changes
from clipiqa_pyiqa.workbench.scoring.setup import ScoringSetup


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


def test_every_field_of_a_record_counts_but_those_of_names_and_circumstances():
    told = Half()
    told.version = "1"
    for given in ["mini", "entropy", told]:
        header = ScoringSetup([given], device="cpu").header
        record = {
            **dict.fromkeys(("weights", "file", "version")),
            "files": {},
            **header.columns[0].record,
            **header.reading,
        }
        for key in [*record, "learned", "seen"]:
            before = {**record, "learned": {"sha256": "1", "from": "x"}}
            now = {**before, key: "other"}
            counts = key not in ("weights", "file", "files", "version", "versions", "device", "decoders")
            assert bool(changes(before, now)) == counts, key
            assert (Column("a", before).fingerprint != Column("b", now).fingerprint) == counts, key
            assert not changes(before, {**before, "learned": {"sha256": "1", "from": "y"}})


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


def test_a_network_of_pyiqa_with_other_numbers_is_another_metric():
    metric = pyiqa.create_metric("nlpd", device="cpu")
    before = fingerprint_of(metric)
    assert fingerprint_of(metric) == fingerprint_of(pyiqa.create_metric("nlpd", device="cpu")) == before
    metric.net.tensor = torch.ones(3)  # as NIQE holds its parameters
    with_tensor = fingerprint_of(metric)
    metric.net.tensor[0] = 2
    with_another = fingerprint_of(metric)
    next(metric.net.parameters()).data.add_(1)
    assert len({before, with_tensor, with_another, fingerprint_of(metric)}) == 4


def fingerprint_of(metric):
    (asked,) = parse_metrics({"a": metric}, also=(Takes.PAIR,))
    return asked.build(torch.device("cpu")).columns[0].fingerprint


def test_a_network_around_pyiqas_is_not_pyiqas():
    """What it does with the scores is its own."""

    class Doubled(torch.nn.Module):
        lower_better = True

        def __init__(self):
            super().__init__()
            self.net = pyiqa.create_metric("piqe", device="cpu").net

        def forward(self, x):
            return 2 * self.net(x)

    assert not fingerprint_of(Doubled())
