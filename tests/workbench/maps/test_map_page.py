"""The page of maps: self-contained, safe, and working by pointer and keyboard in a real browser."""

import re

import numpy as np
import pytest
from PIL import Image

from clipiqa_pyiqa.workbench.maps.page import map_page
from clipiqa_pyiqa.workbench.maps.photo_map import MapQuestion, PhotoMap

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two photos, 3×4 places each; the first ascends from place to place, the second question is its opposite."""
    folder = tmp_path_factory.mktemp("photos")
    maps = []
    provenance = {"metric": "clipiqa", "backbone": "mini", "weights": "x", "version": "1", "map": "places of 32 px"}
    for name in ("a.png", f"{EVIL.replace('/', '')}\u202e.png"):
        Image.new("RGB", (128, 110), (200, 90, 40)).save(folder / name)
        rising = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        scores = np.stack([rising, 1 - rising])
        questions = (MapQuestion("sharpness", "Blurry photo.", "Sharp photo."), MapQuestion(EVIL, EVIL, "</script>"))
        score = np.array([0.75, 0.25], np.float32)
        maps.append(PhotoMap(str(folder / name), questions, score, scores, scores, 110, 128, 32, provenance))
    return map_page(maps, {"b.png": f"'{EVIL}' does not exist."})


def test_the_page_is_one_file_and_escapes_names(page):
    assert EVIL not in page and page.count("</script>") == 2
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert re.search(r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[^']+';", page)
    assert page.count("<script>") == 1 and page.count('<script type="application/json"') == 1
    assert "\u202e" not in page  # what turns a reader's view is spelt out
    assert re.search(r"0\.75</td>", page)  # the numbers are there without JavaScript, too


DRIVER = """
() => {
  const view = document.querySelector(".view"), told = view.parentElement;
  const here = () => [...told.querySelectorAll("td.here")].map((cell) => cell.textContent);
  const text = (name) => told.querySelector(name).textContent;
  const pixel = () => [...view.querySelector("canvas").getContext("2d").getImageData(30, 20, 1, 1).data];
  const key = (name) => view.dispatchEvent(new KeyboardEvent("keydown",
    { key: name, bubbles: true, cancelable: true }));
  const set = (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event("input", { bubbles: true }));
  };
  const seen = { width: document.documentElement.clientWidth, overflow: document.documentElement.scrollWidth };
  seen.outlined = text(".outlined");
  set("threshold", 0.3);
  seen.lower = text(".outlined");
  const box = view.getBoundingClientRect();
  view.dispatchEvent(new PointerEvent("pointermove",
    { clientX: box.left + box.width * 0.9, clientY: box.top + 2, bubbles: true }));
  seen.pointed = here();
  view.dispatchEvent(new PointerEvent("pointerleave", {}));
  seen.left = here();
  view.focus();
  seen.focused = document.activeElement === view;
  key("Home");
  key("Home");
  seen.home = here();
  seen.stays = !key("ArrowDown"); // the page does not scroll
  seen.down = here();
  key("ArrowLeft");
  seen.wall = here();
  key("End");
  seen.end = [here(), text(".place")];
  key("Escape");
  seen.gone = here();
  seen.opaque = pixel()[3];
  set("strength", 0);
  seen.plain = [pixel()[3], view.classList.contains("grey")];
  document.querySelectorAll("input[name=question]")[1].click();
  seen.other = text(".outlined");
  seen.low = document.getElementById("low").textContent;
  seen.reachable = [...document.querySelectorAll("input, .view")].every((one) => one.tabIndex >= 0);
  return seen;
}
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_in_a_browser(page, browser, tmp_path, width):
    """Pointer, arrow keys, sliders and questions; the page is never wider than its window."""
    (tmp_path / "maps.html").write_text(page)
    tab = browser.new_page(viewport={"width": width, "height": 900})
    messages = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.goto((tmp_path / "maps.html").as_uri())
    seen = tab.evaluate(DRIVER)
    assert not [message for message in messages if "willReadFrequently" not in message]
    assert seen["width"] <= width and seen["overflow"] <= seen["width"]
    assert seen["outlined"] == "6 of 12 places (50 %) have sharpness below 0.50."
    assert seen["lower"] == "4 of 12 places (33 %) have sharpness below 0.30."
    assert seen["pointed"] == ["0.27", "0.73"] and seen["left"] == ["–", "–"]
    assert seen["focused"] and seen["home"] == ["0.00", "1.00"] and seen["stays"]
    assert seen["down"] == seen["wall"] == ["0.36", "0.64"]
    assert seen["end"] == [["1.00", "0.00"], "Place 4 from the left, 3 from above: sharpness 1.00."]
    assert seen["gone"] == ["–", "–"] and 140 < seen["opaque"] < 170 and seen["plain"] == [0, False]
    assert seen["other"] == f"4 of 12 places (33 %) have {EVIL} below 0.30." and seen["low"] == f"0 {EVIL}"
    assert seen["reachable"]
