"""Which images a share, a number or a threshold chooses."""

import numpy as np
from assertions import refused

from clipiqa_pyiqa.workbench.results.cuts import choose

NAMES = list("gfedcba")
SCORES = [0.5, 0.1, np.nan, 0.5, 0.9, 0.5, 0.3]  # in order: f 0.1, a 0.3, then b, d and g 0.5, c 0.9


def chosen(lower_better=False, **cuts):
    worst, best = ("".join(NAMES[place] for place in end) for end in choose(NAMES, SCORES, lower_better, cuts))
    return worst, best


def test_equal_scores_are_in_order_of_name_at_both_ends():
    assert chosen() == ("", "cbdgaf")
    assert chosen(worst=3) == ("fab", "") and chosen(best=3) == ("", "cbd")
    assert chosen(worst=4, best=4) == ("fabd", "cg")
    assert chosen(True, worst=3, best=3) == ("cbd", "fag")


def test_a_share_is_one_of_the_scored_images_and_never_more():
    assert chosen(worst="50%", best="33%") == ("fab", "c")
    assert chosen(drop_worst="20%") == ("", "cbdga") == chosen(above="20 %")
    assert chosen(below="20%") == ("f", "") and chosen(True, below="20%") == ("c", "")
    exact = choose(list(map(str, range(100))), np.arange(100), False, {"worst": "29%"})[0]
    assert len(exact) == 29  # 0.29 * 100 is a little less than 29


def test_below_is_strictly_worse_and_above_at_least_as_good_by_direction():
    assert chosen(below=0.5) == ("fa", "") and chosen(above=0.5) == ("", "cbdg")
    assert chosen(True, below=0.5) == ("c", "") and chosen(True, above="0.5") == ("", "fabdg")
    assert chosen(above=0.3, below=0.9, best=2) == ("", "bd")


def test_the_worst_come_first_only_where_the_worst_are_asked_for():
    best_first = chosen(best=6)[1]
    for cut in ({"above": 0}, {"above": "0%"}, {"drop_worst": "0%"}, {"above": 0, "below": 1}):
        assert chosen(**cut) == ("", best_first)
    assert chosen(below=1) == chosen(worst=6)
    assert chosen(below=1, drop_worst="20%") == ("abdgc", "")


def test_another_value_is_refused():
    for cut in ("worst 0", "best 2.5", "worst 101%", "worst inf", "above nan", "drop_worst 3", "worst %"):
        refused(chosen, **dict([cut.split()]))
