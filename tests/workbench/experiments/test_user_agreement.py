"""``clipiqa agreement``: reading votes, accuracy computed another way, ties, and votes from a known order."""

import pandas
import pytest
from assertions import refused
from inputs import write_votes
from metrics import Brightness
from photos import save_corrupt, save_grey

from clipiqa_pyiqa import agreement

LEVELS = {"a.png": 50, "b.png": 100, "c.png": 150, "d.png": 200}


@pytest.fixture
def folder(tmp_path):
    for name, level in LEVELS.items():
        save_grey(tmp_path / name, level)
    return tmp_path


# Agreement


def test_by_hand(folder):
    """Brightness prefers the later letter. The majority agrees on a-b and c-d, not on a-c, and is tied on b-d."""
    path = write_votes(
        folder, "happy,a.png,b.png,1,4", "happy,d.png,c.png,5,0", "happy,a.png,c.png,3,2", "happy,b.png,d.png,2,2",
        head="attribute,first,second,votes_first,votes_second",
    )  # fmt: skip
    result = agreement(Brightness(), path)
    row = result.summary().iloc[0]
    assert (row["pairs"], row["tied"], row["votes"]) == (3, 1, 19)
    assert result.frame["right"].tolist() == [True, True, False, None]
    assert row["majority accuracy"] == pytest.approx(2 / 3)
    assert row["vote accuracy"] == pytest.approx((4 + 5 + 2 + 2) / 19)
    assert row["ceiling"] == pytest.approx((4 + 5 + 3 + 2) / 19)
    heights = sorted(bar.get_height() for bar in result.figure().axes[0].patches)
    assert heights == pytest.approx([2 / 3, 13 / 19])
    assert row["vote accuracy low"] < row["vote accuracy"] < row["vote accuracy high"]


def test_a_corrupt_image_takes_its_pairs_along(folder):
    save_corrupt(folder / "b.png")
    result = agreement(Brightness(), write_votes(folder, "new,a.png,b.png,first", "new,a.png,c.png,first"))
    assert len(result.frame) == 1
    assert list(result.failed) == [str(folder / "b.png")]
    refused(agreement, Brightness(), write_votes(folder, "new,a.png,b.png,first"))


def test_questions_that_choose_for_all_attributes_count_each_pair_once(folder):
    path = write_votes(
        folder, "happy,a.png,b.png,first", "happy,a.png,b.png,second", "happy,c.png,d.png,second",
        "new,a.png,c.png,first", "new,a.png,c.png,tie",
    )  # fmt: skip
    result = agreement(Brightness(), path, ["brightness", "quality"])
    assert result.notes() == [
        "1 pair without a majority, counted vote by vote only",
        "1 vote for neither image, not counted",
    ]
    table = result.summary().set_index(["question", "attribute"])
    assert table.index.tolist() == [(q, a) for q in ("brightness", "quality") for a in ("happy", "new", "all")]
    for question in result.questions:
        alone = agreement(Brightness(), path, [question]).summary().set_index(["question", "attribute"])
        pandas.testing.assert_frame_equal(table.loc[[question]], alone)
    labels = [label.get_text() for label in result.figure().axes[0].get_xticklabels()]
    assert labels[2:4] == ["all, brightness", "happy, quality"]
