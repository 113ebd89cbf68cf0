"""The report: what it says is the frame's, it needs nothing but itself, and no name can break out of it."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest

from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.results import Comparison, report_page
from clipiqa_pyiqa.comparison.summary import build_tables

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes and text, and whether tags close as they opened."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[int] = []
        self.feed(source)
        self.close()
        assert not self._open, [self.elements[i][0] for i in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}, []))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def text(self, wanted: Callable[[str, dict[str, str]], bool]) -> list[str]:
        """The text of every element that is wanted."""
        return ["".join(text) for tag, attributes, text in self.elements if wanted(tag, attributes)]

    def of_class(self, name: str) -> list[str]:
        return self.text(lambda _, attributes: name in attributes.get("class", "").split())


@pytest.fixture(scope="module")
def source(comparison: Comparison) -> str:
    return report_page(comparison.data_sets, comparison.settings)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_cells_are_the_tables(page: Page, comparison: Comparison) -> None:
    words = "".join(page.text(lambda tag, _: tag == "main")).replace("−", "-")
    for cell in (cell for table in build_tables(comparison.data_sets) for row in table.rows for cell in row):
        assert cell.text.replace("−", "-") in words and cell.detail.replace("−", "-") in words


def test_says_how_to_read_it_and_what_it_is_of(page: Page) -> None:
    (reading,) = page.of_class("reading")
    assert "A positive correlation is good" in reading and "95 % bootstrap interval" in reading
    terms = page.text(lambda tag, _: tag in ("dt", "dd"))
    pairs = dict(zip(terms[::2], terms[1::2], strict=True))
    assert pairs["weights"] == "seeded" and pairs["command"] == "clipiqa compare -m <x>"


def test_pictures_have_words(page: Page) -> None:
    said = [attributes.get("aria-label") for tag, attributes, _ in page.elements if tag == "svg"]
    expected = [(label, name) for name in ("graded", "dmos_<b>&%") for label in ("sharp", "niqe", "flat")]
    assert said == [f"Scores against opinion: {label} on {name}" for label, name in expected]


def test_correlations_between_metrics_are_a_heat_map_in_the_pages_colours(page: Page) -> None:
    cells = [attributes for tag, attributes, _ in page.elements if tag == "td" and "style" in attributes]
    for attributes in cells:
        colour = "blue" if float(attributes["data-value"]) > 0 else "orange"
        assert attributes["style"].startswith(f"background: color-mix(in srgb, var(--{colour})")
    assert len(cells) == 2 * 2 * 2  # of two data sets; the third metric is constant


def test_asks_nothing_of_the_network_and_allows_only_our_script(source: str, page: Page) -> None:
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").strip().startswith(("#", "data:"))
    assert "@import" not in source and not re.search(r"url\((?!#)", source)
    known = {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[\w./-]+", source)) <= known
    (script,) = page.text(lambda tag, _: tag == "script")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for tag, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}'" in policy
    assert "unsafe" not in policy.partition("script-src")[2]


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes, _ in page.elements if tag == "a"]
    assert links == ["#overview", "#data-0", "#data-1", "#data-2", "#metrics"]
    assert {link[1:] for link in links} <= set(ids)


def test_labels_errors_notes_and_provenance_stay_text() -> None:
    bad = '</td><script>x</script>"\' onload="x'
    scores = pandas.DataFrame({bad: [1.0, 2, 3], bad + "2": [3.0, 1, 2], "lost": [math.nan] * 3}, index=[bad] * 3)
    metrics = {
        label: MetricResult(score_range=bad, provenance={bad: bad}, error=bad if label == "lost" else "")
        for label in scores
    }
    mos = pandas.Series([1.0, 2, 3], index=scores.index)
    scores.index = mos.index = pandas.Index([f"{bad}{i}" for i in range(3)])
    data = DataSetResult(bad, scores, mos, metrics=metrics, skipped={bad: bad}, note=bad, bootstrap=0)
    page = Page(report_page([data], {bad: bad}))
    assert [tag for tag, _, _ in page.elements].count("script") == 1
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert page.text(lambda tag, _: tag == "h2")[1] == bad
    assert f"lost: {bad}" in page.of_class("reasons")[0]


PROBE = """
const report = document.createElement("pre");
const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent === "graded");
const press = (name) => [...table.querySelectorAll("th button")].find((b) => b.textContent === name).click();
press("SROCC");
report.id = "seen";
report.textContent = [...table.tBodies[0].rows].map((row) => row.cells[0].firstChild.textContent.trim()).join();
report.textContent += ` ${document.documentElement.scrollWidth <= innerWidth}`;
document.body.append(report);
"""


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 520])
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_in_a_browser(source: str, tmp_path: Path, width: int) -> None:
    """Heads sort the table, the highest first and words last; the page is never wider than the window."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    probed = source.replace("script-src ", f"script-src 'sha256-{digest}' ")
    (tmp_path / "report.html").write_text(probed.replace("</body>", f"<script>{PROBE}</script></body>"), "utf-8")
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
        *(f"--window-size={width},900", "--enable-logging=stderr", "--dump-dom", f"file://{tmp_path}/report.html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Content Security Policy" not in done.stderr and "CONSOLE" not in done.stderr, done.stderr
    (said,) = Page(done.stdout).text(lambda _, attributes: attributes.get("id") == "seen")
    assert said == "niqe,sharp,flat,piqe true"
