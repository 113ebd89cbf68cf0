"""``clipiqa agreement``: reading votes, accuracy computed another way, ties, and votes from a known order."""

import json

import pandas
import pytest
from inputs import write_votes
from photos import save_grey

LEVELS = {"a.png": 50, "b.png": 100, "c.png": 150, "d.png": 200}


@pytest.fixture
def folder(tmp_path):
    for name, level in LEVELS.items():
        save_grey(tmp_path / name, level)
    return tmp_path


@pytest.mark.slow
def test_attributes_that_the_backbone_never_saw_are_left_out_and_named(clipiqa, forked, folder):
    path = write_votes(
        folder, "brightness,a.png,b.png,second", "happy,a.png,c.png,first", "happy,b.png,c.png,first",
        "new,c.png,d.png,first",
    )  # fmt: skip
    told = "left out: 'happy', 'new' (3 pairs), as mini never saw their words"
    printed = clipiqa(f"agreement {path} --backbone mini --out out", 1, told).out
    assert "happy" not in printed and "brightness" in printed
    assert pandas.read_csv("out/agreement.csv")["attribute"].tolist() == ["brightness"]
    assert json.loads((folder / "out/summary.json").read_text())["unknown"] == {"happy": 2, "new": 1}
    assert len(pandas.read_csv("out/scores.csv")) == 2  # of the images that are still compared
    # a word is warned of once in a process, which another test may share
    done = forked.run(f"agreement {path} --backbone mini --prompts happy brightness", folder)
    assert done.code == 0 and "never saw 'happy'" in done.err and "happy       new " in done.out


def test_without_any_known_attribute_there_is_no_agreement(clipiqa, folder):
    path = write_votes(folder, "happy,a.png,b.png,second")
    clipiqa(f"agreement {path} --backbone mini", 2, "mini never saw the words of any attribute ('happy')")


def test_what_was_left_out_is_said(clipiqa, folder):
    path = write_votes(
        folder, "brightness,a.png,b.png,first", "brightness,a.png,b.png,second", "brightness,c.png,d.png,tie",
        "brightness,c.png,d.png,second",
    )  # fmt: skip
    clipiqa(f"agreement {path} --backbone mini", 0, "1 pair without a majority", "1 vote for neither")
