"""``clipiqa agreement --make-pairs``: which photos form pairs, and votes from the page to the table."""

import json
import os
import re
from pathlib import Path

import pandas
import pytest
from assertions import check_page, refused
from metrics import Brightness
from photos import save_grey

from clipiqa_pyiqa import CLIPIQA, agreement, make_pairs
from clipiqa_pyiqa.workbench.experiments.votes import read_votes

LEVELS = (10, 60, 120, 180, 240)
ODD = ['a "b", c', "<script>alert(1)<!--", "#d", "ü", " e '"]


@pytest.fixture
def photos(tmp_path):
    """Five grey photos with odd names, from dark to bright."""
    for name, level in zip(ODD, LEVELS, strict=True):
        save_grey(tmp_path / "photos" / f"{name}.png", level)
    return tmp_path / "photos"


def levels_of(paths):
    """Return the levels of photos, by their names."""
    return [LEVELS[ODD.index(Path(path).stem)] for path in paths]


def data_in(folder):
    """Return what the script of a page knows."""
    page = (folder / "pairs.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


# Which pairs


def test_the_highest_stands_against_the_lowest(photos):
    study = make_pairs(Brightness(), photos, ["happy", "new"], count=2)
    for _, pairs in study.pairs.groupby("attribute"):
        assert levels_of(pairs["high"]) == [240, 180] and levels_of(pairs["low"]) == [10, 60]
    assert (study.pairs["score_high"] > study.pairs["score_low"]).all() and study.is_complete
    assert study.summary()["attribute"].tolist() == ["happy", "new"]


def test_without_prompts_the_attributes_are_those_of_the_figure(photos):
    study = make_pairs(Brightness(), photos, count=1)
    assert list(study.texts) == ["complex", "natural", "happy", "scary", "new"]


def test_photos_of_one_score_form_no_pair(tmp_path):
    paths = [save_grey(tmp_path / f"{number}.png", level) for number, level in enumerate((9, 90, 90, 200))]
    study = make_pairs(Brightness(), paths, ["happy"], count=2)
    assert len(study.pairs) == 1 and study.counts_below_wanted == {"happy": 1} and not study.is_complete
    assert "'happy' has 1 pair" in study.notes()[0]
    refused(make_pairs, Brightness(), paths[1:3], ["happy"], count=1)


# In a browser


@pytest.fixture
def opened(browser, photos):
    """Opens the page of the photos, on a phone."""
    study = make_pairs(Brightness(), photos, ["happy", ("Warm photo.", "Cold, <b> photo.")], count=2)
    study.save(photos.parent / "study")
    context = browser.new_context(viewport={"width": 390, "height": 844})

    def open_page(script=""):
        page = context.new_page()
        page.add_init_script(script)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((photos.parent / "study/pairs.html").as_uri())
        return page

    yield open_page
    context.close()


def brighter_side(page):
    """Return the button of the brighter photo; the browser's own pixels tell."""
    return page.evaluate(
        """async () => {
            const levels = {};
            for (const id of ["left", "right"]) {
                const image = document.querySelector(`#${id} img`), canvas = document.createElement("canvas");
                await image.decode();
                const context = canvas.getContext("2d");
                context.drawImage(image, 0, 0);
                levels[id] = context.getImageData(5, 5, 1, 1).data[0];
            }
            return levels.left > levels.right ? "left" : "right";
        }"""
    )


def vote(page, wants_bright, pairs=4):
    for _ in range(pairs):
        bright = brighter_side(page)
        dark = "left" if bright == "right" else "right"
        page.locator(f"#{bright if wants_bright else dark}").click()


def saved(page, folder):
    with page.expect_download() as download:
        page.locator("#save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.slow
def test_votes_of_several_people_come_back(opened, photos):
    study = photos.parent / "study"
    files = []
    for wants_bright in (True, True, False):
        page = opened()
        vote(page, wants_bright)
        assert page.locator("#choice").is_hidden() and page.complaints == []
        files.append(saved(page, study))
    assert len(set(files)) == 3
    result = agreement(Brightness(), files)
    assert result.summary()["attribute"].tolist()[-1] == "all"
    row = result.summary().iloc[-1]
    assert (row["pairs"], row["votes"], row["majority accuracy"]) == (4, 12, 1)
    assert row["vote accuracy"] == pytest.approx(8 / 12)
    assert set(levels_of(result.frame["first"])) <= {10, 60, 180, 240}


@pytest.mark.slow
def test_the_order_and_the_sides_are_drawn(opened):
    seen = []
    for drawn in (0, 0.999):
        page = opened(f"Math.random = () => {drawn}")
        seen.append((page.locator("#positive").inner_text(), brighter_side(page)))
    assert sorted(seen) == [("“Happy photo.”", "left"), ("“Warm photo.”", "right")]


@pytest.mark.slow
def test_keys_choose_and_a_slip_is_taken_back(opened, photos):
    page = opened()
    first_words = page.locator("#positive").inner_text()
    assert page.locator("#save").is_disabled() and page.locator("#back").is_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    assert page.locator("#count").inner_text() == "pair 3 of 4"
    page.keyboard.press("Backspace")
    page.locator("#back").click()
    assert page.locator("#count").inner_text() == "pair 1 of 4"
    assert page.locator("#positive").inner_text() == first_words
    page.keyboard.press("ArrowRight")
    votes = pandas.read_csv(saved(page, photos.parent / "study"))
    assert votes["choice"].tolist() == ["second"]
    assert page.locator("#csv").input_value().splitlines()[0] == "attribute,first,second,choice,voter"


@pytest.mark.slow
def test_a_person_who_saves_twice_counts_once(opened, photos):
    study = photos.parent / "study"
    page = opened()
    vote(page, True, 2)
    early = saved(page, study).rename(study / "votes-early.csv")
    vote(page, True, 2)
    late = saved(page, study)
    table, _ = read_votes([early, late, late])
    assert (table["votes_first"] + table["votes_second"]).tolist() == [1, 1, 1, 1]
    votes = pandas.read_csv(early)
    votes["choice"] = votes["choice"].map({"first": "second", "second": "first"})
    votes.to_csv(early, index=False)
    assert "two different votes" in refused(read_votes, [early, late])


@pytest.mark.slow
def test_the_page_has_no_barriers_and_its_texts_are_texts(opened):
    page = opened()
    negatives = set()
    for _ in range(4):
        negatives.add(page.locator("#negative").inner_text())
        page.keyboard.press("ArrowLeft")
    assert negatives == {"“Sad photo.”", "“Cold, <b> photo.”"}
    check_page(page)


def test_a_name_that_is_no_text_comes_back(tmp_path):
    odd = os.fsdecode(b"caf\xe9.png")
    save_grey(tmp_path / "photos/a.png", 90)
    save_grey(tmp_path / "photos/b.png", 200).rename(tmp_path / "photos" / odd)
    study = tmp_path / "study"
    make_pairs(CLIPIQA(backbone="mini"), tmp_path / "photos", ["brightness"], count=1, out=study)
    data = data_in(study)
    ((high, low),) = data["attributes"][0]["pairs"]
    names = [data["photos"][place]["path"] for place in (high, low)]
    assert names == ["../photos/caf\\xe9.png", "../photos/a.png"]
    (study / "votes.csv").write_text(f"attribute,first,second,choice\nbrightness,{names[0]},{names[1]},first\n")
    assert agreement(Brightness(), study / "votes.csv").frame["right"].tolist() == [True]
