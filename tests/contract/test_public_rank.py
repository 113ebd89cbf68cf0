"""``clipiqa rank``, and what all experiments share: questions of one pass, bad images, unwritable output."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from assertions import refused
from photos import BUNDLED, save_corrupt, save_exposures, save_grey
from PIL import Image

from clipiqa_pyiqa import rank

pytestmark = pytest.mark.quick


@pytest.fixture
def greys(tmp_path):
    """Images whose brightness is 0.4, 0, 0.8, 0.2, 0.6, in this order."""
    return [save_grey(tmp_path / f"greys/{n}.png", level) for n, level in enumerate((102, 0, 204, 51, 153))]


def test_another_metric_answers_no_questions(greys):
    refused(rank, torch.nn.Linear(1, 1), greys)


def test_questions_that_the_backbone_never_saw_are_left_out_and_named(clipiqa, greys):
    said = clipiqa("rank greys -p happy brightness -b mini --out out", 1, "left out: 'happy', as mini never saw").out
    assert "happy" not in said and not Path("out/rank-happy.png").exists() and Path("out/rank-brightness.png").exists()
    assert json.loads(Path("out/summary.json").read_text())["unknown"] == ["happy"]
    clipiqa("rank greys -c fig6 -b mini", 2, "mini never saw the words of any attribute ('complex'")
    assert not Path("runs/fig6/scores.csv").exists()


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
