"""``clipiqa agreement --make-pairs``: which photos form pairs, and votes from the page to the table."""

import json
import re
from pathlib import Path

import pandas
import pytest
from photos import save_corrupt, save_grey

LEVELS = (10, 60, 120, 180, 240)

ODD = ['a "b", c', "<script>alert(1)<!--", "#d", "ü", " e '"]


@pytest.fixture
def photos(tmp_path):
    """Five grey photos with odd names, from dark to bright."""
    for name, level in zip(ODD, LEVELS, strict=True):
        save_grey(tmp_path / "photos" / f"{name}.png", level)
    return tmp_path / "photos"


def data_in(folder):
    """Return what the script of a page knows."""
    page = (folder / "pairs.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_a_corrupt_photo_is_in_no_pair(clipiqa, photos):
    save_corrupt(photos / "ü.png")
    clipiqa("agreement --make-pairs 2 photos -p brightness -b mini --out study", 1, "left out", "ü.png")
    assert not pandas.read_csv("study/pairs.csv")[["high", "low"]].isin([str(photos / "ü.png")]).any(axis=None)


def test_attributes_that_the_backbone_never_saw_are_named(clipiqa, photos):
    line = "agreement --make-pairs 2 photos --out study -b mini"
    clipiqa(f"{line} -p happy brightness", 1, "left out: 'happy', as mini never saw", out="brightness")
    assert [attribute["name"] for attribute in data_in(Path("study"))["attributes"]] == ["brightness"]
    clipiqa(f"{line} -p happy --overwrite", 2, "mini never saw the words of any attribute ('happy')")


def test_what_people_cannot_be_asked_is_refused(clipiqa, photos):
    for options, words in {
        "-b mini -p brightness": "add --out",
        "-b mini -p brightness --out study --root photos": "--root belongs to votes",
        "-b mini -p brightness --out study --make-pairs 0": "--make-pairs must be between 1 and 500",
        "-b mini -p brightness --out study --make-pairs 3": "got 5: pass more photos, or a smaller --make-pairs.",
        "-b mini -p antonyms --out study": "",
        "-m entropy --out study": "one CLIP-IQA",
    }.items():
        count = "" if "--make-pairs" in options else "--make-pairs 2"
        clipiqa(f"agreement photos {count} {options}", 2, words)
    assert not Path("study/pairs.html").exists()


def test_a_second_run_needs_leave_and_a_third_goes_on(clipiqa, photos):
    line = "agreement --make-pairs 2 photos -p brightness -b mini --out 'a study'"
    clipiqa(line, 0, "clipiqa agreement 'a study'/votes-*.csv")
    before = Path("a study/pairs.html").read_text(encoding="utf-8")
    clipiqa(line, 2, "--resume")
    clipiqa(f"{line} --resume", 0, "to score: none")
    assert Path("a study/pairs.html").read_text(encoding="utf-8") == before
