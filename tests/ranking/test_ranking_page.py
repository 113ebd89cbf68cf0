"""Photos picked from score files, taken elsewhere and back, and the page that shows them."""

import json
import os
import re
import tarfile
from pathlib import Path
from unittest import mock

import pandas
import pytest
from photos import save_corrupt, save_grey
from PIL import Image
from refusal import refused

from clipiqa_pyiqa.files.xmp import NEW, find_rating
from clipiqa_pyiqa.ranking.page import write_browser
from clipiqa_pyiqa.ranking.photos import Photos
from clipiqa_pyiqa.ranking.transfers import transfer, undo
from clipiqa_pyiqa.results.scores import read_scores

VALUES = [0.4, 0.1, 0.8, None, 0.2, 0.6]


REFUSED = mock.Mock(side_effect=OSError(18, "Invalid cross-device link"))


@pytest.fixture
def folder(tmp_path):
    """Six grey photos in two folders, two of one name, and their scores as another tool might write them."""
    names = ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/4.png", "b/5 ü.png"]
    for number, name in enumerate(names):
        save_grey(tmp_path / "photos" / name, 40 * number)
    frame = pandas.DataFrame({"Image Name": names, "MOS": VALUES, "niqe": [3, 9, 4, 5, 6, 7], "camera": list("xyxyxy")})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


def page_of(folder, **options):
    scores = Photos(read_scores(folder / "scores.csv"), "MOS", root=folder / "photos")
    return write_browser(scores, folder / "page", **options)


def data_in(page):
    """What a page knows of its photos."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])


@pytest.fixture
def ranked(clipiqa, folder):
    return lambda options, *said: clipiqa(f"rank scores.csv --root {folder}/photos {options}", *said)


# Pick


def test_command_prints_paths_and_nothing_else(ranked, folder):
    worst = [str(folder / "photos" / name) for name in ("a/1.png", "b/4.png", "b/5 ü.png")]
    assert ranked("--worst 2 --paths", 1, "1 image left out", "'b/1.png'").out.splitlines() == worst[:2]
    said = ranked("--worst 2 --paths -0 --by niqe", 0).out  # which pyiqa knows as lower-better
    assert said.split("\0") == [*worst[::2], ""]


def test_a_table_of_picked_photos_is_printed(ranked):
    title, heads, _, *rows = ranked("--below 0.3", 1, "1 image left out").out.splitlines()
    assert title.startswith("Picked 2 of ") and heads.split() == ["MOS", "niqe", "path"]
    assert [row.split()[::2] for row in rows] == [["0.1000", "a/1.png"], ["0.2000", "b/4.png"]]
    said = ranked("--by niqe --below 20%", 0).out  # the worst fifth
    assert said.splitlines()[3].split() == ["9.0000", "0.1000", "a/1.png"]
    ranked("--by niqe --best 3 --worst 4", 0, "overlap")


# Transfer


def test_undo_keeps_what_has_changed(folder):
    source = folder / "photos/a/1.png"
    (place,), moved, _ = transfer([str(source)], folder / "moved", "move")
    source.write_bytes(b"another")
    assert undo(moved)[0] == 0 and source.read_bytes() == b"another" and Path(place).exists() and moved.exists()
    (copied,), copies, _ = transfer([str(folder / "photos/a/0.png")], folder / "copied", "copy")
    Path(copied).write_bytes(b"edited")
    assert undo(copies)[0] == 0 and Path(copied).read_bytes() == b"edited"


@pytest.mark.parametrize("action", ["copy", "move"])
def test_a_full_disk_in_the_middle_tears_no_photo(folder, monkeypatch, action):
    """The list knows what was taken before, and no torn copy is left."""
    first, second = (folder / f"photos/a/{name}.png" for name in "01")
    transfer([str(first)], folder / "taken", action)
    fail = mock.Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("clipiqa_pyiqa.ranking.transfers.write_bytes", fail)
    monkeypatch.setattr("os.rename", fail)
    refused(transfer, [str(second)], folder / "taken", action)
    monkeypatch.undo()
    assert second.is_file() and not (folder / "taken/1.png").exists()
    lists = sorted((folder / "taken").glob("clipiqa-undo-*.jsonl"))
    (back, _, problems), taken = sorted(map(undo, lists))
    assert (back, len(problems)) == (0, action == "copy") and taken == (1, 0, []) and first.is_file()


def test_a_move_to_another_file_system_goes_and_comes_back(folder, monkeypatch):
    source = folder / "photos/a/1.png"
    content = source.read_bytes()
    monkeypatch.setattr("os.rename", REFUSED)
    (place,), undo_list, _ = transfer([str(source)], folder / "moved", "move")
    assert Path(place).read_bytes() == content and not source.exists()
    assert undo(undo_list) == (1, 0, []) and source.read_bytes() == content and not Path(place).exists()


def test_a_source_that_cannot_be_emptied_leaves_no_copy(folder, monkeypatch):
    source, unlink = folder / "photos/a/1.png", os.unlink
    monkeypatch.setattr("os.rename", REFUSED)
    monkeypatch.setattr("os.unlink", lambda path: REFUSED() if str(path) == str(source) else unlink(path))
    refused(transfer, [str(source)], folder / "out", "move")
    assert source.is_file() and not list((folder / "out").glob("*.png"))


@pytest.fixture
def shards(tmp_path):
    """The names that results give to an image in a tar archive and to a row of a table."""
    images = [save_grey(tmp_path / f"{number}.png", 40 + 80 * number) for number in range(2)]
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(images[1], "in/1.png")
    pandas.DataFrame({"image": [image.read_bytes() for image in images]}).to_parquet(tmp_path / "t.parquet")
    return [f"{tmp_path}/s.tar::in/1.png", f"{tmp_path}/t.parquet::0"]


# Shards


def test_copies_have_the_members_names(shards, tmp_path):
    done, undo_list, _ = transfer(shards, tmp_path / "out", "copy")
    assert [Path(path).name for path in done] == ["1.png", "t-0.png"]
    assert [Path(path).read_bytes() for path in done] == [(tmp_path / f"{n}.png").read_bytes() for n in (1, 0)]
    assert undo(undo_list) == (2, 0, []) and not list((tmp_path / "out").glob("*.png"))
    refused(transfer, shards, tmp_path / "out", "move")
    refused(transfer, [*shards, f"{tmp_path}/gone.tar::1.png"], tmp_path / "out", "copy")


def test_a_page_shows_images_in_shards(shards, tmp_path):
    frame = pandas.DataFrame({"path": [*shards, "gone.tar::2.png"], "MOS": [0.5, 0.7, 0.1]})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    data = data_in(page_of(tmp_path)[0])
    assert data["links"][:2] == [f"thumbnails/{name}" for name in data["small"][:2]] and data["small"][2] == ""
    levels = [Image.open(tmp_path / "page" / link).getpixel((5, 5))[0] for link in data["links"][:2]]
    assert levels == pytest.approx([120, 40], abs=5)


# Page


def test_the_page_holds_everything_and_thumbnails_are_made_once(folder):
    save_corrupt(folder / "photos/b/4.png")
    data = data_in(page_of(folder)[0])
    assert data["scores"]["MOS"] == VALUES and data["lowIsGood"] == ["niqe"]
    assert data["links"][0] == "../photos/a/0.png" and data["links"][5] == "../photos/b/5%20%C3%BC.png"
    assert data["small"][4] == "" and all(data["small"][:4])
    small = folder / "page/thumbnails" / data["small"][0]
    assert Image.open(small).size == (48, 40)
    before = small.stat().st_mtime_ns
    page_of(folder)  # its own page is replaced
    assert small.stat().st_mtime_ns == before


def test_markup_in_names_is_text(tmp_path):
    name = "<script>alert(1)<!--.png"
    save_grey(tmp_path / name, 9)
    (tmp_path / "s.csv").write_text(f'image,"</script><b>"\n{name},0.5\n')
    known = Photos(read_scores(tmp_path / "s.csv"), "</script><b>", root=tmp_path)
    page = write_browser(known, tmp_path / "page")[0].read_text()
    assert page.count("<script") == 2 and "<b>alert" not in page and "&lt;/script&gt;" in page


def test_photos_that_moved_are_found_below_root_and_a_foreign_page_stays(ranked, clipiqa, folder):
    page = folder / "page"
    clipiqa(f"rank {folder}/scores.csv --page {page}", 2)
    ranked(f"--page {page}", 0)
    save_corrupt(folder / "photos/b/4.png")
    ranked(f"--page {page}", 1, "1 photo on the page cannot be read", "4.png")
    (page / "browse.html").write_text("mine")
    ranked(f"--page {page}", 2)


# On a phone


@pytest.fixture
def page(browser, folder):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    for name, text in (("a/0", "3"), ("a/2", "-1")):
        (folder / f"photos/{name}.png.xmp").write_bytes(find_rating(NEW).changed(NEW, text))
    save_corrupt(folder / "photos/b/5 ü.png")
    page.goto(page_of(folder)[0].as_uri())
    page.locator(".cell").first.wait_for()
    return page


def test_photos_are_in_order_and_those_without_a_score_last(page):
    assert page.locator("#count").inner_text() == "6 of 6 photos, 1 of which cannot be read"
    shown = page.locator(".cell label b").all_inner_texts()
    assert shown == ["0.1000", "0.2000", "★★★ 0.4000", "0.6000", "0.8000", "–"]
    assert page.locator(".cell.rejected").inner_text().split()[0] == "2.png"
    page.locator(".cell input").first.check()  # the head leaves room
    assert page.locator("header").bounding_box()["height"] < 844 / 4


def test_buttons_and_swipes_lead_from_photo_to_photo(page):
    page.locator(".open").first.click()
    page.locator("#pick").click()
    page.locator("#after").click()
    title = page.locator("#title")
    assert title.inner_text() == "b/4.png" and page.locator("#pick").inner_text() == "select"
    swipe = """([from, to]) => {
            const stage = document.getElementById("stage");
            const touch = (clientX) => new Touch({ identifier: 1, target: stage, clientX, clientY: 300 });
            stage.dispatchEvent(new TouchEvent("touchstart", { touches: [touch(from)] }));
            stage.dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(to)] }));
        }"""
    page.evaluate(swipe, [300, 100])
    assert title.inner_text() == "a/0.png"
    page.evaluate(swipe, [100, 300])
    assert title.inner_text() == "b/4.png"
    page.locator("#before").click()
    assert title.inner_text() == "a/1.png" and page.locator("#pick").inner_text() == "selected"


def test_marks_are_set_by_touch_and_kept_when_the_page_is_loaded_again(page):
    page.locator(".open").first.tap()
    page.locator("#marks [value='4']").tap()
    page.locator("#after").tap()
    page.locator("#drop").tap()
    page.reload()
    assert page.locator(".cell").first.inner_text().split() == ["1.png", "★★★★", "0.1000"]
    assert page.locator("#reject").inner_text() == "copy command to move 2 rejected"
    page.locator(".open").first.tap()
    page.locator("#marks [value='4']").tap()
    page.locator("#after").tap()
    page.locator("#pick").tap()
    assert page.locator("#rated").is_hidden() and "1 rejected" in page.locator("#reject").inner_text()


def test_the_command_moves_what_is_selected(clipiqa, page, folder):
    for number in (0, 3):  # a/1.png and b/5 ü.png
        page.locator(".cell input").nth(number).check()
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    page.locator("#move").click()
    page.locator("#chosen", has_text="command copied").wait_for()
    clipiqa(page.evaluate("() => window.copied").removeprefix("clipiqa"), 0)
    assert sorted(path.name for path in (folder / "selected").glob("*.png")) == ["1.png", "5 ü.png"]


def test_options_that_do_not_go_together_are_named(clipiqa, folder):
    for options, named in {
        "": "no PATH",
        "scores.csv --paths": "no photo is picked",
        "scores.csv --worst 2 --copy-to a --move-to b": "--move-to",
        "scores.csv --by MUS --worst 1": "'MOS'",
        "scores.csv --lower-better --higher-better": "exclude",
        "scores.csv --prompts quality": "--prompts",
        "photos --columns MOS": "--columns",
        "--undo scores.csv": "undo list",
        "photos --undo .": "go with PATH",
        "photos/a/0.png --selected --stars": "go with --stars",
    }.items():
        clipiqa(f"rank {options}", 2, named)
