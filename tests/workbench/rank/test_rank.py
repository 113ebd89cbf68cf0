"""``clipiqa rank``, and what all experiments share: questions of one pass, bad images, unwritable output."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from assertions import refused
from metrics import Brightness
from photos import BUNDLED, drawn, save_corrupt, save_exposures, save_grey
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


def test_another_metric_answers_no_questions(greys):
    refused(rank, torch.nn.Linear(1, 1), greys)


def test_questions_that_the_backbone_never_saw_are_left_out_and_named(clipiqa, greys):
    said = clipiqa("rank greys -p happy brightness -b mini --out out", 1, "left out: 'happy', as mini never saw").out
    assert "happy" not in said and not Path("out/rank-happy.png").exists() and Path("out/rank-brightness.png").exists()
    assert json.loads(Path("out/summary.json").read_text())["unknown"] == ["happy"]
    clipiqa("rank greys -c fig6 -b mini", 2, "mini never saw the words of any attribute ('complex'")
    assert not Path("runs/fig6/scores.csv").exists()


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


# Command


def test_known_images_in_their_order_and_a_corrupt_one_left_out(clipiqa, tmp_path):
    exposures = save_exposures(tmp_path / "photos")
    save_corrupt(tmp_path / "photos/half.png")
    out = tmp_path / "deep/out"
    asked = f"-b mini -p brightness quality --out {out} --quiet --count 2"
    printed = clipiqa(f"rank {tmp_path}/photos {asked}", 1, "half.png")
    clipiqa(f"rank {tmp_path}/photos {asked} --resume --page {tmp_path}", 1, "half.png")
    assert "8 photos by brightness" in (tmp_path / "ranking.html").read_text()
    order = pd.read_csv(out / "ranking.csv", index_col="path")
    assert len(order) == 8 and order["brightness"].is_monotonic_decreasing
    for files in exposures.values():
        assert order.loc[list(map(str, files)), "brightness"].is_monotonic_increasing
    assert printed.out.split("\n\n")[1].splitlines()[3].split()[2] == order.index[0]
    for question in ("brightness", "quality"):
        with Image.open(out / f"rank-{question}.png") as sheet:
            assert sheet.width > 2 * 160
    said = json.loads((out / "summary.json").read_text())
    assert said["images"] == 8 and said["provenance"]["backbone"] == "mini" and len(said["left_out"]) == 1
    save_grey(tmp_path / "photos/new.png", 9)  # has no score of the earlier questions
    another = clipiqa(f"rank {tmp_path}/photos -b mini -p contrast --out {out} --resume --best 3", 1)
    assert another.out.startswith("Best 3 of 9 by contrast")


def test_a_column_and_a_direction_order_photos_that_are_scored_first(clipiqa, greys):
    asked = f"rank {greys[0].parent} -b mini -p quality brightness --by brightness"
    for count, worst, best in (("1", 1, 1), ("10", 2, 3)):  # half of the five photos are the worst at most
        ran = clipiqa(f"{asked} --count {count} --lower-better", 0)
        lists = [text.splitlines() for text in ran.out.split("\n\n")]
        assert [text[0] for text in lists] == [
            f"Worst {worst} of 5 by brightness",
            f"Best {best} of 5 by brightness",
        ]
        assert lists[0][1].split() == ["brightness", "quality", "path", "flag"]
        assert "overlap" not in ran.err and "2.png  almost" in lists[0][3] and "1.png  almost" in lists[1][3]


def test_the_sheet_of_each_question_is_named_on_the_terminal(clipiqa):
    told = clipiqa(f"rank '{BUNDLED}' -b mini -p quality sharpness --max-side 64 --out out", 0).err
    assert "rank-quality.png, rank-sharpness.png" in told
    assert Path("out/rank-quality.png").is_file() and Path("out/rank-sharpness.png").is_file()
