"""What a run says of the images that failed in an earlier run."""

import pytest

from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.results.earlier import EarlierRow, Failure
from clipiqa_pyiqa.workbench.scoring.tally import Tally

FAILED = "failed in the earlier run and were not tried again"
CHANGED = "only changed files are"
pytestmark = pytest.mark.quick


def test_failures_of_an_earlier_run_are_counted_by_metric_unless_all_failed_alike():
    failure = Failure(Kind.DAMAGED, "it is damaged", is_of_all_metrics=False)
    tally = Tally()
    tally.count(EarlierRow("1", {"niqe": 0.5, "piqe": 0.5}, None), "1", is_complete=True)
    unbuilt = Failure(Kind.NOT_ASKED, "niqe cannot be built", is_of_all_metrics=False)
    tally.count(EarlierRow("1", {"niqe": None, "piqe": 0.5}, unbuilt), "1", is_complete=True)
    assert tally.failed_before(["niqe", "piqe"]) == ""
    for _ in range(12):
        tally.count(EarlierRow("1", {"niqe": None, "piqe": 0.5}, failure), "1", is_complete=True)
    assert tally.failed_before(["niqe", "piqe"]) == f"12 {FAILED} (without a score of niqe: 12): {CHANGED}"
    assert tally.failed_before(["niqe"]) == f"12 {FAILED}: {CHANGED}"
    tally.count(EarlierRow("1", {"niqe": None, "piqe": None}, failure), "1", is_complete=True)
    assert tally.failed_before(["niqe", "piqe"]) == f"13 {FAILED} (without a score of niqe: 13, piqe: 1): {CHANGED}"
