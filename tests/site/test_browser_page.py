"""The page that scores in the browser, in headless Chromium: Python's scores, by keyboard, on a phone, bad files."""

import functools
import http.server
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import check_page
from PIL import Image
from repository import skip_without_export
from stores import serving

from clipiqa_pyiqa import CLIPIQA

ROOT = Path(__file__).parents[2]
WEB = ROOT / "docs/site/web"
PHOTOS = sorted((ROOT / "clipiqa_pyiqa/data/photos").glob("*.jpg"))

skip_without_export()
if not (WEB / "node_modules").is_dir():
    pytest.skip("needs `npm install` in docs/site/web, which docs/site/build.py does", allow_module_level=True)


@pytest.fixture(scope="module")
def address(browser_page, exported_mini, tmp_path_factory):
    """The built page, served from this machine."""
    folder = tmp_path_factory.mktemp("site")
    assert browser_page.build(folder / "score", exported_mini)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    Handler.extensions_map = {**Handler.extensions_map, ".mjs": "text/javascript"}
    with serving(functools.partial(Handler, directory=folder)) as url:
        yield f"{url}/score/index.html"


@pytest.fixture(scope="module")
def page(browser, address):
    """One page for all tests, at a phone's width, with everything that it asked for and complained about."""
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.set_default_timeout(120_000)
    page.asked = []
    page.complaints = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(address)
    return page


def scored(page):
    """What the page says once it has nothing left to do."""
    page.locator("#status", has_text=re.compile("^Scored")).wait_for()  # the page's policy lets no script be a text
    return [float(value) for value in page.eval_on_selector_all("#rows tr", "rows => rows.map(r => r.dataset.score)")]


def choose(page, path):
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files("#file", path)
    return scored(page)


def expected(browser_page, picture):
    x = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return CLIPIQA(backbone="mini")(x, list(browser_page.QUESTIONS.values()), None)[0]


def test_a_sample_is_scored_on_load(page):
    assert len(scored(page)) == 7 and PHOTOS[0].name in page.text_content("#about")


@pytest.mark.parametrize("size", [(131, 97), (400, 300)])
def test_scores_equal_pythons(page, browser_page, tmp_path, size):
    picture = Image.open(PHOTOS[0]).convert("RGB").resize(size)
    picture.save(tmp_path / "photo.png")
    found = choose(page, tmp_path / "photo.png")
    np.testing.assert_allclose(found, expected(browser_page, picture), rtol=0, atol=1e-3)
    shown = page.evaluate("(() => { const c = document.getElementById('photo'); return [c.width, c.height]; })()")
    assert tuple(shown) == size and "scored as it is" in page.text_content("#about")
    asked = "['quality', 'sharpness', 'noisiness', 'brightness', 'contrast', 'colorfulness', ('Artifact-free photo.', "
    assert f'("photo.png", prompts={asked}' in page.text_content("#python")


def test_keyboard_alone(page, browser_page, tmp_path):
    """A sample by Enter, a slider by its arrows: scores follow, and come back."""
    page.locator("#samples button").nth(1).focus()
    page.evaluate("document.getElementById('status').textContent = ''")
    page.keyboard.press("Enter")
    before = scored(page)
    pythons = expected(browser_page, Image.open(PHOTOS[1]))
    np.testing.assert_allclose(before, pythons, rtol=0, atol=0.03)  # JPEG decoders differ
    page.focus("#blur")
    page.evaluate("document.getElementById('status').textContent = ''")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    blurred = scored(page)
    assert page.text_content("#blur-is") == "3 px" and blurred[1] < before[1] - 0.2  # sharpness
    page.evaluate("document.getElementById('status').textContent = ''")
    page.focus("#reset")
    page.keyboard.press("Enter")
    assert scored(page) == before


def test_bad_files_are_one_sentence(page, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("L", (20_000, 10_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (300, 20)).save(tmp_path / "thin.png")
    whole = PHOTOS[0].read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name, said in {
        "cut.jpg": "cut.jpg is truncated: the end of the image is missing. Choose the whole file.",
        "text.jpg": "text.jpg is not an image that this browser can read: choose a JPEG, PNG or WebP file.",
        "huge.png": "huge.png has 200.0 megapixels (20000 × 10000), and this page takes up to 100: shrink it first.",
        "thin.png": "thin.png is 300 × 20 px, and each side must have 32 px: choose a larger one.",
    }.items():
        page.set_input_files("#file", tmp_path / name)
        page.locator("#error", has_text=said).wait_for()
        assert page.is_visible("#error") and page.is_visible("#result")
    Image.open(PHOTOS[0]).resize((96, 64)).save(tmp_path / "good.png")
    choose(page, tmp_path / "good.png")
    assert not page.is_visible("#error")


def test_nothing_comes_from_elsewhere(page, address):
    own = address.rsplit("/", 1)[0]
    assert all(url.startswith((own, f"blob:{own.split('/score')[0]}")) for url in page.asked), page.asked
    assert not [said for said in page.complaints if "favicon" not in said], page.complaints
    policy = page.get_attribute("meta[http-equiv='Content-Security-Policy']", "content")
    assert "default-src 'none'" in policy and "http" not in policy


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(page, scheme):
    page.emulate_media(color_scheme=scheme)
    check_page(page)
