"""Intervals of shares: Wilson's, and of votes that come in clusters."""

import numpy as np
import pytest

from clipiqa_pyiqa.stats.bootstrap import clustered_share, share


@pytest.mark.parametrize(("right", "count", "low", "high"), [(5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)])
def test_a_share_has_wilsons_interval(right, count, low, high):
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
    assert clustered_share([5] * 10, [5] * 10) == share(10, 10)
    assert clustered_share([0] * 10 + [0], [5] * 10 + [0]) == share(0, 10)


def test_a_share_of_no_cases_is_undefined():
    assert np.isnan(share(0, 0).value) and share(0, 0).reason
    assert np.isnan(clustered_share([0], [0]).value)
