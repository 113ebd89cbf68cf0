"""The report: what it says is the frame's, it needs nothing but itself, and no name can break out of it."""

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import pandas
import pytest
from fake_comparison import NASTY

from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.results import Comparison
from clipiqa_pyiqa.comparison.summary import build_tables
from clipiqa_pyiqa.results.columns import Column

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes and texts; a tag that closes another one fails."""

    def __init__(self, source):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, texts in self._open:
            texts.append(data)

    def text(self, *tags):
        """The text of every element with one of these tags."""
        return ["".join(texts) for tag, _, texts in self.elements if tag in tags]

    def of_class(self, name):
        return ["".join(texts) for _, attributes, texts in self.elements if attributes.get("class") == name]


@pytest.fixture(scope="module")
def source(comparison):
    return comparison.report().text("html")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_cells_are_the_tables(page, comparison):
    words = page.text("main")[0].replace("−", "-")
    for cell in (cell for table in build_tables(comparison.data_sets) for row in table.rows for cell in row):
        assert cell.text.replace("−", "-") in words and cell.detail.replace("−", "-") in words


def test_says_how_to_read_it_and_what_it_is_of(page):
    (reading,) = page.of_class("reading")
    assert "A positive correlation is good" in reading and "95 % bootstrap interval" in reading
    terms = dict(zip(page.text("dt"), page.text("dd"), strict=True))
    assert terms["weights"] == "seeded" and terms["command"] == "clipiqa compare -m <x>"


def test_pictures_have_words(page):
    said = [attributes.get("aria-label") for tag, attributes, _ in page.elements if tag == "svg"]
    expected = [(label, name) for name in ("graded", "dmos_<b>&%") for label in ("sharp", "niqe", "flat")]
    assert said == [f"Scores against opinion: {label} on {name}" for label, name in expected]


def test_points_have_names_and_the_images_that_a_metric_misjudges_are_shown(source, page):
    assert page.text("title")[1] == "photo 00.png"
    first, _ = source.partition("Ranked too high")[2].split("Ranked too low")[:2]
    assert first.index("photo 00.png") < first.index("1, MOS 1")  # which sharp takes for the best
    assert first.count("<figure>") == 1 and NASTY not in source


def test_correlations_between_metrics_are_a_heat_map_in_the_pages_colours(page):
    cells = [attributes for tag, attributes, _ in page.elements if tag == "td" and "style" in attributes]
    for attributes in cells:
        colour = "blue" if float(attributes["data-value"]) > 0 else "orange"
        assert attributes["style"].startswith(f"background: color-mix(in srgb, var(--{colour})")
    assert len(cells) == 2 * 2 * 2  # of two data sets; the third metric is constant


def test_asks_nothing_of_the_network_and_allows_only_our_script(source, page):
    links = [a.get(name, "#") for _, a, _ in page.elements for name in ("src", "href", "xlink:href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in source and not re.search(r"url\((?!#)", source)
    (script,) = page.text("script")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for _, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}'" in policy
    assert "unsafe" not in policy.partition("script-src")[2]


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes, _ in page.elements if tag == "a"]
    assert links == ["#data-0", "#data-1", "#data-2", "#metrics"]
    assert {link[1:] for link in links} <= set(ids)


def test_labels_errors_notes_and_provenance_stay_text():
    bad = '</td><script>x</script>"\' onload="x'
    images = [f"{bad}{number}" for number in range(3)]
    scores = pandas.DataFrame({bad: [1.0, 2, 3], f"{bad}2": [3.0, 1, 2], "lost": math.nan}, images)
    metrics = {label: MetricResult(Column(label, {bad: bad})) for label in scores}
    metrics["lost"] = MetricResult(error=bad)
    mos = pandas.Series([1.0, 2, 3], images)
    data = DataSetResult(bad, scores, mos, metrics=metrics, skipped={bad: bad}, note=bad, bootstrap=0)
    page = Page(Comparison((data,), {bad: bad}).report().text("html"))
    assert len(page.text("script")) == 1
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert page.text("h2")[1] == bad
    assert f"lost: {bad}" in page.of_class("reasons")[0]


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 520])
def test_in_a_browser_heads_sort_the_table_and_the_page_is_no_wider_than_the_window(source, tmp_path, browser, width):
    """The highest first and words last."""
    (tmp_path / "report.html").write_text(source, "utf-8")
    page, said = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "report.html").as_uri())
    table = page.locator("table").filter(has=page.locator("caption", has_text=re.compile("^graded$")))
    table.get_by_role("button", name="SROCC").click()
    first = table.locator("tbody tr > :first-child").all_inner_texts()
    assert [text.split()[0] for text in first] == ["niqe", "sharp", "flat", "piqe"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not said
