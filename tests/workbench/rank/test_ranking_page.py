"""The page of ranked photos: what it knows of them, and how a reader moves the threshold and copies paths."""

import json
import re
from pathlib import Path

import pandas
import pytest
from photos import save_corrupt, save_grey
from PIL import Image
from shard_makers import save_tar

from clipiqa_pyiqa.workbench.rank.page import RankingPage
from clipiqa_pyiqa.workbench.rank.photos import Photos
from clipiqa_pyiqa.workbench.results.score_files import read_scores

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


def page_of(folder, by="MOS", root="photos", **options):
    """The page of a score file's photos."""
    photos = Photos(read_scores(folder / "scores.csv"), by, root=folder / root)
    page = RankingPage(photos, photos.best_first(), folder / "page", **options)
    page.write()
    return page


def data_in(page):
    """What a page's script knows."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page.file.read_text(), re.S)[1])


# What is written


def test_photos_are_on_the_page_from_the_best_to_the_worst(folder):
    save_corrupt(folder / "photos/b/4.png")
    page = page_of(folder)
    data = data_in(page)
    assert [photo["score"] for photo in data["photos"]] == [0.8, 0.6, 0.4, 0.2, 0.1] and not data["lowerIsBetter"]
    best, second = data["photos"][:2]
    assert (best["name"], best["path"]) == ("2.png", str(folder / "photos/a/2.png"))
    assert best["about"].splitlines() == [best["path"], "niqe: 4"]
    assert second["link"] == "../photos/b/5%20%C3%BC.png"
    assert page.without_thumbnail == [str(folder / "photos/b/4.png")] and data["photos"][3]["thumbnail"] == ""
    assert Image.open(folder / "page" / best["thumbnail"]).size == (48, 40)


def test_low_scores_are_the_best_of_some_metrics(folder):
    data = data_in(page_of(folder, by="niqe"))
    assert [photo["score"] for photo in data["photos"]] == [3, 4, 5, 6, 7, 9] and data["lowerIsBetter"]


def test_thumbnails_are_made_once_and_anew_for_a_changed_photo(folder):
    def made():
        return {path.name: path.stat().st_mtime_ns for path in (folder / "page/.thumbnails").rglob("*.jpg")}

    page_of(folder)
    before = made()
    page_of(folder)  # the page is ours, and is replaced
    assert made() == before and len(before) == 5
    save_grey(folder / "photos/a/0.png", 200, (96, 80))
    page_of(folder)
    assert len(made().keys() - before.keys()) == 1


def test_images_in_shards_have_thumbnails_but_no_link(tmp_path):
    images = [save_grey(tmp_path / f"{number}.png", 40 + 80 * number).read_bytes() for number in range(2)]
    save_tar(tmp_path / "s.tar", {"in/1.png": images[1]})
    pandas.DataFrame({"image": images}).to_parquet(tmp_path / "t.parquet")
    names = [f"{tmp_path}/s.tar::in/1.png", f"{tmp_path}/t.parquet::0", "gone.tar::2.png"]
    pandas.DataFrame({"path": names, "MOS": [0.7, 0.5, 0.1]}).to_csv(tmp_path / "scores.csv", index=False)
    photos = data_in(page_of(tmp_path, root=""))["photos"]
    levels = [Image.open(tmp_path / "page" / photo["thumbnail"]).getpixel((5, 5))[0] for photo in photos[:2]]
    assert levels == pytest.approx([120, 40], abs=5)  # JPEG
    assert [photo["link"] for photo in photos] == ["", "", ""] and photos[2]["thumbnail"] == ""


def test_markup_in_names_is_text(tmp_path):
    name = "<script>alert(1)<!--.png"
    save_grey(tmp_path / name, 9)
    (tmp_path / "scores.csv").write_text(f'image,"</script><b>"\n{name},0.5\n')
    page = page_of(tmp_path, by="</script><b>", root="").file.read_text()
    assert page.count("<script") == 2 and "<b>alert" not in page and "&lt;/script&gt;" in page


# In a browser


@pytest.fixture
def opened(browser, folder):
    """Opens a page from its file, on a phone."""
    context = browser.new_context(viewport={"width": 390, "height": 844})

    def open_page(**options):
        page = context.new_page()
        page.goto(page_of(folder, **options).file.as_uri())
        page.locator(".photo").first.wait_for()
        return page

    yield open_page
    context.close()


def shown(page):
    return page.locator(".photo b").all_inner_texts()


def pasted(page):
    """What a reader's Ctrl+V gives."""
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'editor'}))")
    page.locator("#editor").focus()
    page.keyboard.press("Control+V")
    return page.locator("#editor").input_value()


def test_photos_open_in_their_order_with_pictures_and_scores(opened):
    page = opened()
    assert shown(page) == ["0.1000", "0.2000", "0.4000", "0.6000", "0.8000"]
    assert page.locator("#status").inner_text() == "5 of 5 photos"
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")  # the page forbids eval
    assert page.evaluate("[...document.images].map((image) => image.naturalWidth)") == [48] * 5
    page.locator("#order").select_option("best first")
    assert shown(page) == ["0.8000", "0.6000", "0.4000", "0.2000", "0.1000"]
    assert shown(opened(is_best_first=True)) == ["0.8000", "0.6000", "0.4000", "0.2000", "0.1000"]


def test_the_slider_parts_the_photos(opened):
    page = opened()
    page.locator("#slider").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.locator("#threshold").input_value() == "0.4" and shown(page) == ["0.4000", "0.6000", "0.8000"]
    page.locator("#worse").check()
    assert shown(page) == ["0.1000", "0.2000"] and page.locator("#status").inner_text() == "2 of 5 photos"
    page.locator("#threshold").fill("0.15")
    assert shown(page) == ["0.1000"] and page.locator("#slider").input_value() == "1"
    page.locator("#threshold").fill("0.05")
    assert shown(page) == [] and page.locator("#copy").is_disabled()
    page.locator("#better").check()
    assert len(shown(page)) == 5


def test_the_slider_goes_down_where_low_scores_are_good(opened):
    page = opened(by="niqe")
    assert shown(page)[0] == "9"
    page.locator("#threshold").fill("5")
    assert shown(page) == ["5", "4", "3"]


def test_paths_are_copied_from_a_page_in_a_file(opened, folder):
    page = opened()
    page.locator("#threshold").fill("0.5")
    page.locator("#copy", has_text="copy 2 paths").click()
    page.locator("#status", has_text="2 paths copied").wait_for()
    assert pasted(page).splitlines() == [f"{folder}/photos/b/5 ü.png", f"{folder}/photos/a/2.png"]


def test_where_a_page_from_a_file_has_no_clipboard_paths_are_copied_the_old_way(opened, folder):
    page = opened()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.locator("#threshold").fill("0.8")
    page.locator("#copy", has_text="copy 1 path").click()
    page.locator("#status", has_text="1 path copied").wait_for()
    assert pasted(page) == f"{folder}/photos/a/2.png" and page.locator("#paths").is_hidden()


def test_what_no_browser_copies_stands_in_a_field(opened, folder):
    page = opened()
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false; }"
    )
    page.locator("#threshold").fill("0.8")
    page.locator("#copy").click()
    page.locator("#status", has_text="from this field").wait_for()
    assert page.locator("#paths").input_value() == f"{folder}/photos/a/2.png"


def test_a_photo_opens_in_a_tab_of_its_own(opened, folder):
    page = opened()
    with page.context.expect_page() as tab:
        page.locator(".photo").first.click()
    assert tab.value.url == (folder / "photos/a/1.png").as_uri()


def test_more_photos_are_added_as_the_reader_scrolls(opened, folder):
    rows = "".join(f"gone/{number}.png,{number}\n" for number in range(1000))
    Path(folder, "scores.csv").write_text(f"path,MOS\n{rows}a/0.png,1000\n")
    page = opened()
    assert page.locator("#status").inner_text() == "1,001 of 1,001 photos"
    assert page.locator(".photo").count() < 500
    for _ in range(20):
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(30)
    assert page.locator(".photo").count() == 1001
