"""``clipiqa rank``, and what all experiments share: questions of one pass, bad images, unwritable output."""

from pathlib import Path

import numpy as np
import pytest
from metrics import Brightness
from photos import drawn, save_grey
from PIL import Image

from clipiqa_pyiqa import rank
from clipiqa_pyiqa.workbench.experiments.experiment_result import file_names
from clipiqa_pyiqa.workbench.rank.picked import worst_and_best

pytestmark = pytest.mark.quick


@pytest.fixture
def greys(tmp_path):
    """Images whose brightness is 0.4, 0, 0.8, 0.2, 0.6, in this order."""
    return [save_grey(tmp_path / f"greys/{n}.png", level) for n, level in enumerate((102, 0, 204, 51, 153))]


# Scores


def test_every_question_in_one_pass_each_file_once(greys):
    metric = Brightness()
    scores = rank(metric, [*greys, greys[0]], ["happy", ("Crisp photo.", "Hazy photo.")])
    assert sum(batch[0] for batch in metric.batches) == 5
    assert scores.questions == ("happy", "Crisp photo.|Hazy photo.")
    np.testing.assert_allclose(scores.frame["happy"], [0.4, 0, 0.8, 0.2, 0.6], atol=1e-6)
    np.testing.assert_allclose(scores.frame.iloc[:, 1], scores.frame["happy"] / 2, atol=1e-6)


# Ranking


def test_order_and_ties(greys):
    twin = save_grey(greys[0].with_name("5.png"), 102)
    found = rank(Brightness(), [*greys, twin], ["brightness", "happy"])
    order = found.ranked("brightness")
    assert [Path(path).stem for path in order.index] == ["2", "4", "0", "5", "3", "1"]
    assert list(order["rank"]) == [1, 2, 3, 3, 5, 6]
    best, worst = found.best_and_worst("brightness")
    assert {*best.index, *worst.index} == {*order.index} and len(best) == len(worst) == 3
    assert (found.best(2), found.worst("40%")) == (list(order.index[:2]), list(order.index[:3:-1]))


def test_the_sheet_and_the_printed_list_show_the_same_photos_where_scores_are_equal(greys):
    names = ["a.png", "b.png", "c.png", "d.png", "e.png"]
    equal = [str(save_grey(greys[0].with_name(name), 102)) for name in names]
    ranking = rank(Brightness(), equal, "brightness", count=2)
    best, worst = ranking.best_and_worst("brightness")
    printed = worst_and_best(ranking.photos("brightness"), 2)
    assert printed.parts == {"Worst": list(worst.index[::-1]), "Best": list(best.index)}


def test_pictures_are_turned_as_for_scoring(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees
    Image.new("RGB", (200, 50), "red").save(tmp_path / "a.jpg", exif=exif)
    for options, shape in (({}, (50, 200)), ({"apply_exif": False}, (200, 50))):
        sheet = drawn(rank(Brightness(), [tmp_path / "a.jpg"], **options).sheet("quality"))
        red = np.argwhere((sheet[..., 0] > 200) & (sheet[..., 1] < 50))
        height, width = np.ptp(red, axis=0) + 1
        assert (width, height) == pytest.approx(shape, abs=3)


def test_names_of_pictures_differ():
    asked = ["Good photo.|Bad photo.", "Good photo|Bad photo", "good photo|bad photo", "☃|☂", "?|!"]
    names = "Good-photo.-Bad-photo", "Good-photo-Bad-photo", "good-photo-bad-photo-2", "data", "data-2"
    assert tuple(file_names(asked, "{}").values()) == names
