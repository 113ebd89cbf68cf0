"""An equal metric object is not scored again."""

import pyiqa
import torch

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
