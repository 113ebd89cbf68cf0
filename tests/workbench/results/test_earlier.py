"""An earlier run's rows: which cells a run keeps, scores again or finds not reached."""

import math

import pytest

from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.results.earlier import CellPlan, EarlierRun, lasting_stamp

KEPT = CellPlan.KEPT
SCORED_AGAIN = CellPlan.SCORED_AGAIN
NOT_REACHED = CellPlan.NOT_REACHED


def cells_of_row(path, stamp="1 1", width=9, kind=None, error=None, **scores):
    return {"path": path, "stamp": stamp, "width": width, "kind": kind, "error": error, **scores}


def earlier_run(*rows, **options):
    """An earlier run with the columns ``one`` and ``two``, which both are asked for again."""
    earlier = EarlierRun(["one", "two"], {"one": "one", "two": "two"}, **options)
    for row in rows:
        earlier.add(row)
    return earlier


def plans(earlier, name, stamp="1 1"):
    return earlier.plans(earlier.row(name), stamp)


def test_scores_of_an_image_that_is_the_same_are_kept():
    earlier = earlier_run(cells_of_row("a", one=0.5, two="0.25"))
    assert plans(earlier, "a") == [KEPT, KEPT]
    assert earlier.row("a").scores == {"one": 0.5, "two": 0.25}


def test_an_image_that_has_changed_or_whose_stamp_is_unknown_is_scored_again():
    earlier = earlier_run(cells_of_row("a", one=0.5, two=0.5), cells_of_row("b", stamp=None, one=0.5, two=0.5))
    assert plans(earlier, "a", "2 2") == [SCORED_AGAIN] * 2
    assert plans(earlier, "a", "") == [SCORED_AGAIN] * 2
    assert plans(earlier, "b", "") == [SCORED_AGAIN] * 2


@pytest.mark.parametrize("is_interrupted, cell", [(False, SCORED_AGAIN), (True, NOT_REACHED)])
def test_a_new_image_was_not_reached_if_the_run_was_interrupted(is_interrupted, cell):
    earlier = earlier_run(cells_of_row("a", one=0.5), is_interrupted=is_interrupted)
    assert plans(earlier, "new") == [cell, cell]


def test_a_column_that_a_row_lacks_was_not_reached_and_an_empty_one_has_failed():
    earlier = earlier_run(
        cells_of_row("a", one=0.5), cells_of_row("b", one=0.5, two=None), cells_of_row("c", one=math.nan, two="")
    )
    assert plans(earlier, "a") == [KEPT, NOT_REACHED]
    assert plans(earlier, "b") == [KEPT, SCORED_AGAIN]
    assert plans(earlier, "c") == [SCORED_AGAIN] * 2
    assert earlier.row("a").scores == {"one": 0.5}
    assert earlier.row("c").scores == {"one": None, "two": None}


def test_any_score_can_be_stored():
    """No number stands for a state."""
    earlier = earlier_run(cells_of_row("a", one=-1.5e308, two=-math.inf))
    assert plans(earlier, "a") == [KEPT, KEPT]
    assert earlier.row("a").scores == {"one": -1.5e308, "two": -math.inf}


def test_a_failure_of_the_image_holds_for_columns_that_were_not_reached():
    unreadable = cells_of_row("a", width=None, kind="empty", error="is empty")
    too_small = cells_of_row("b", width=None, kind="too small", error="is too small", one=None)
    earlier = earlier_run(unreadable, too_small)
    assert plans(earlier, "a") == [KEPT, KEPT]
    assert plans(earlier, "b") == [KEPT, NOT_REACHED]  # metrics of pyiqa take any size


@pytest.mark.parametrize("has_same_decoders, cell", [(True, KEPT), (False, SCORED_AGAIN)])
def test_a_damaged_image_is_decoded_again_by_other_decoders(has_same_decoders, cell):
    damaged = cells_of_row("a", width=None, kind="damaged", error="is damaged", one=None, two=None)
    assert plans(earlier_run(damaged, has_same_decoders=has_same_decoders), "a") == [cell, cell]


def test_the_newest_row_of_an_image_counts():
    failure = cells_of_row("a", kind="other", error="fails", one=None, two=None)
    earlier = earlier_run(failure, cells_of_row("b", one=0.1), cells_of_row("a", stamp="2 2", one=0.5))
    assert len(earlier) == 2 and earlier.row("a").failure is None
    assert plans(earlier, "a", "2 2") == [KEPT, NOT_REACHED]


def test_a_column_has_the_scores_of_another_that_is_the_same_metric():
    earlier = EarlierRun(["one"], {"uno": "one", "new": None})
    earlier.add(cells_of_row("a", one=0.5))
    assert plans(earlier, "a") == [KEPT, NOT_REACHED]
    assert earlier.scores("a", ["uno", "one", "new", "nothing"]) == {"uno": 0.5, "one": 0.5}


def test_a_renamed_image_keeps_its_row_and_its_place():
    earlier = earlier_run(cells_of_row("a", one=0.5), cells_of_row("b", one=0.25))
    earlier.rename("a", "./a")
    assert [*earlier] == ["b", "./a"] and "a" not in earlier and earlier.row("a") is None
    assert earlier.place("./a") == 0 and earlier.row("./a").scores == {"one": 0.5}


def test_asking_changes_nothing():
    earlier = earlier_run(cells_of_row("a", one=0.5, two=0.5), is_interrupted=True)
    answers = [(plans(earlier, "a"), plans(earlier, "./a"), plans(earlier, "a", "2 2")) for _ in range(2)]
    assert answers[0] == answers[1] and [*earlier] == ["a"]


def test_only_a_row_whose_failure_left_an_asked_column_empty_has_failed():
    earlier = earlier_run(
        cells_of_row("a", kind="other", error="fails", one=None, two=0.5),
        cells_of_row("b", kind="not asked", error="was not asked for", one=0.5, two=0.5),
        cells_of_row("c", one=None),
    )
    assert [earlier.row(name).has_failed for name in "abc"] == [True, False, False]
    assert earlier.row("a").failure.kind is Kind.OTHER and earlier.row("a").failure.error == "fails"


@pytest.mark.parametrize(
    "stamp, other, lasting",
    [
        ("1 1", "1 1", "1 1"),
        ("1 1", "1 1,2 2", "1 1,2 2"),  # the second includes the reference's
        ("1 1,2 2", "1 1", "1 1,2 2"),
        ("1 1", "1 12", ""),
        ("1 1,2 2", "1 1,3 3", ""),
        ("", "1 1", ""),
        ("", "", ""),
    ],
)
def test_which_stamps_are_those_of_one_image(stamp, other, lasting):
    assert lasting_stamp(stamp, other) == lasting
