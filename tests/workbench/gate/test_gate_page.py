"""``clipiqa gate`` for a job: its page, the worst images, and a margin to begin with."""

import numpy as np
import pytest

from clipiqa_pyiqa import gate


@pytest.mark.slow
def test_a_suggested_margin_lets_runs_without_a_change_pass(clipiqa, runs):
    draw = np.random.default_rng(0)
    passed = []
    margin = None
    base = draw.normal(0.5, 0.1, 100)
    for _ in range(40):
        files = runs(q=(base, base + draw.normal(0, 0.02, 100)))
        if margin is None:
            equal = clipiqa("gate base.csv base.csv --suggest-margin", 0).out
            assert "--margin" not in equal and "q: no margin can be suggested: the runs are equal" in equal
            said = clipiqa("gate base.csv new.csv --suggest-margin", 0).out
            assert said.count("--margin") == 1 and said.count("--worst-loss") == 1
            margin = float(said.split("--margin q=")[1].split()[0])
            assert said.endswith("\nPASSED\n") and "99 of 100 runs" in said
            worst_loss = float(said.split("--worst-loss q=")[1].split()[0])
        passed.append(gate(*files, margin=margin, worst_loss=worst_loss).has_passed)
    assert np.mean(passed) >= 0.95 and not gate(*files, margin=margin / 2).has_passed
    runs(q=(base, base - 0.1))
    assert "--margin" not in clipiqa("gate base.csv new.csv --suggest-margin", 1).out


def test_a_suggestion_ends_with_a_verdict_though_columns_are_equal(clipiqa, runs):
    base = np.linspace(0.3, 0.7, 40)
    noisy = base + np.random.default_rng(0).normal(0, 0.02, 40)
    for now, code, end in ((noisy, 0, "PASSED"), (base - 0.1, 1, "FAILED: no margin can be suggested for q")):
        runs(same=(base, base), q=(base, now))
        said = clipiqa("gate base.csv new.csv --suggest-margin", code, out="same: no margin can be suggested").out
        assert said.endswith(f"\n{end}\n")
    assert clipiqa("gate base.csv base.csv --suggest-margin", 0).out.endswith("\nPASSED\n")
