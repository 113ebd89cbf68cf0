"""The page of ranked photos: what it knows of them, and how a reader moves the threshold and copies paths."""

import json
import os
import re
from pathlib import Path

import pandas
import pytest
from photos import save_corrupt, save_grey
from PIL import Image

pytestmark = pytest.mark.slow

NAMES = ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/4.png", "b/5 ü.png"]


@pytest.fixture
def folder(tmp_path):
    """Six grey photos in two folders, two of one name; one has no score of the first column."""
    for number, name in enumerate(NAMES):
        save_grey(tmp_path / "photos" / name, 40 * number)
    frame = pandas.DataFrame({"path": NAMES, "MOS": [0.4, 0.1, 0.8, None, 0.2, 0.6], "niqe": [3, 9, 4, 5, 6, 7]})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


@pytest.fixture
def ranked(clipiqa, folder):
    return lambda options, *said: clipiqa(f"rank scores.csv --root {folder}/photos {options}", *said)


def test_a_photo_shows_its_flag_and_the_page_tells_where_thumbnails_are(clipiqa, tmp_path):
    save_grey(tmp_path / "photos/black.png", 0, (64, 64))
    Image.effect_noise((64, 64), 60).save(tmp_path / "photos/noise.png")
    clipiqa("score photos -m entropy --out s.csv", 0)
    clipiqa("rank s.csv --page page", 0)
    page = (tmp_path / "page/ranking.html").read_text()
    photos = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])["photos"]
    flags = {photo["name"]: photo["flag"] for photo in photos}
    assert flags["noise.png"] == "" and flags["black.png"].startswith("almost ")
    assert all(photo["about"].endswith(photo["flag"]) for photo in photos)
    assert "in the hidden folder .thumbnails beside it" in page


def test_a_name_that_is_no_text_is_on_the_page(clipiqa, tmp_path):
    odd = os.fsdecode(b"photos/caf\xe9.png")
    save_grey(tmp_path / "photos/a.png", 90).rename(odd)
    clipiqa("rank photos -b mini --best 1 --page page", 0, out="caf\\xe9.png")
    page = Path("page/ranking.html").read_text()
    thumbnail = re.search(r'"(\.thumbnails/[^"]+)"', page)[1]
    assert '"../photos/caf%E9.png"' in page and Path("page", thumbnail).is_file()


def test_only_the_picked_are_on_the_page(ranked, folder):
    ranked("--worst 2 --page page", 1, "1 image left out", "the page is")
    page = (folder / "page/ranking.html").read_text()
    assert "<h1>2 photos by MOS</h1>" in page and page.count('"score"') == 2


def test_photos_that_moved_are_found_below_root_and_a_foreign_page_stays(ranked, clipiqa, folder):
    page = folder / "page"
    clipiqa(f"rank {folder}/scores.csv --page {page}", 2, "--root")
    ranked(f"--by niqe --page {page}", 0)
    save_corrupt(folder / "photos/b/4.png")
    ranked(f"--by niqe --page {page}", 1, "1 photo on the page cannot be read", "4.png")
    (page / "ranking.html").write_text("mine")
    ranked(f"--page {page}", 2)
    assert (page / "ranking.html").read_text() == "mine"
