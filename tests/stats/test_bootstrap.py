"""Paired differences: hand-made cases, a bootstrap done the slow way, and how often they are wrong."""

import numpy as np
import pytest
from scipy import stats

from clipiqa_pyiqa.stats.bootstrap import holm, resamples
from clipiqa_pyiqa.stats.correlation import paired_differences, srocc

pytestmark = pytest.mark.quick


def three(n=120, seed=0):
    """Opinion, and two metrics whose errors are mostly the same: what is hard for one is hard for the other."""
    generator = np.random.default_rng(seed)
    mos = generator.normal(size=n)
    shared = mos + generator.normal(size=n)
    return mos, shared + 0.1 * generator.normal(size=n), shared + 0.5 * generator.normal(size=n)


def test_differences_equal_scipys_on_each_resample():
    mos, a, b = three()
    found = paired_differences([a, b], mos, bootstrap=200, seed=3)[0, 1]
    drawn = np.concatenate(list(resamples(len(mos), 200, seed=3))).astype(int)

    def scipys(values):
        return np.array([stats.spearmanr(np.repeat(values, counts), np.repeat(mos, counts))[0] for counts in drawn])

    apart = scipys(a) - scipys(b)
    assert found.value == pytest.approx(srocc(a, mos) - srocc(b, mos), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(apart, (2.5, 97.5))), abs=1e-9)
    k = min(np.sum(apart <= 0), np.sum(apart >= 0))
    assert found.p == pytest.approx(2 * (k + 1) / 201)


def test_holm_equals_hand_computed_values():
    # The lowest times 4, the next times 3, …; none below one before it, none above 1.
    assert holm([0.01, 0.5, 0.02, 0.015]).tolist() == pytest.approx([0.04, 0.5, 0.045, 0.045])
    assert holm([0.6, 0.7]).tolist() == [1, 1] and holm([]).tolist() == []
