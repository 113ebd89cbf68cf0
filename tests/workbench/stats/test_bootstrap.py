"""Paired differences: hand-made cases, a bootstrap done the slow way, and how often they are wrong."""

import numpy as np
import pytest
from scipy import stats

from clipiqa_pyiqa.workbench.stats.correlation import srocc
from clipiqa_pyiqa.workbench.stats.metric_differences import paired_differences
from clipiqa_pyiqa.workbench.stats.resampling import draws
from clipiqa_pyiqa.workbench.stats.shares import clustered_share, share
from clipiqa_pyiqa.workbench.stats.significance import holm

pytestmark = pytest.mark.quick


def opinions_and_two_metrics():
    """Opinions, and two metrics whose errors are mostly the same: what is hard for one is hard for the other."""
    generator = np.random.default_rng(0)
    mos = generator.normal(size=120)
    shared = mos + generator.normal(size=120)
    first = shared + 0.1 * generator.normal(size=120)
    second = shared + 0.5 * generator.normal(size=120)
    return mos, first, second


def test_differences_equal_scipys_on_each_resample():
    mos, first, second = opinions_and_two_metrics()
    estimate = paired_differences([first, second], mos, bootstrap=200, seed=3)[0, 1]
    counts_of_draws = np.concatenate(list(draws(len(mos), 200, seed=3))).astype(int)

    def scipys(scores):
        return np.array(
            [stats.spearmanr(np.repeat(scores, counts), np.repeat(mos, counts))[0] for counts in counts_of_draws]
        )

    differences = scipys(first) - scipys(second)
    assert estimate.value == pytest.approx(srocc(first, mos) - srocc(second, mos), abs=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(differences, (2.5, 97.5))), abs=1e-9)
    on_the_other_side = min(np.sum(differences <= 0), np.sum(differences >= 0))
    assert estimate.p == pytest.approx(2 * (on_the_other_side + 1) / 201)


@pytest.mark.parametrize("copies", [1, 3])
def test_too_few_different_images_show_no_difference(copies):
    """Also where each resample has the same one: one metric orders all images as people do, the other the reverse."""
    for n, p in ((4, 2 / 2**4), (5, 2 / 2**5), (6, 2 / 2**6)):
        mos = np.repeat(np.arange(n), copies)
        difference = paired_differences([mos, -mos], mos, seed=1)[0, 1]
        assert difference.value == 2 and difference.p == p
        assert difference.low == (0 if n < 6 else 2)
        assert difference.high == 2


def test_holm_equals_hand_computed_values():
    # The lowest times 4, the next times 3, …; none below one before it, none above 1.
    assert holm([0.01, 0.5, 0.02, 0.015]).tolist() == pytest.approx([0.04, 0.5, 0.045, 0.045])
    assert holm([0.6, 0.7]).tolist() == [1, 1] and holm([]).tolist() == []


def test_a_share_has_wilsons_interval():
    for right, count, low, high in [(5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]:
        estimate = share(right, count)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((right / count, low, high), abs=1e-4)


def test_grouped_votes_give_a_wider_interval():
    single = clustered_share(np.tile([0, 1], 50), np.ones(100))
    grouped = clustered_share([25, 0, 25, 0], [25] * 4)
    assert single.value == grouped.value == 0.5
    assert grouped.high - grouped.low > 3 * (single.high - single.low)
    assert single.high - single.low == pytest.approx(2 * 1.96 * 0.05, abs=0.01)  # the normal approximation


def test_a_share_of_0_or_1_has_a_wide_interval():
    """Resamples that cannot differ say nothing of how sure a share is."""
    one = clustered_share([3], [4])
    assert one.value == 0.75 and np.isnan(one.low) and np.isnan(one.high)
    assert repr(clustered_share([5] * 10, [5] * 10)) == repr(share(10, 10))  # repr, as their p is NaN
    assert repr(clustered_share([0] * 10 + [0], [5] * 10 + [0])) == repr(share(0, 10))
    assert np.isnan(share(0, 0).value) and share(0, 0).reason
    assert np.isnan(clustered_share([0], [0]).value)
