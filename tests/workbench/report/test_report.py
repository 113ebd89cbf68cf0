"""The report: what it says is the frame's, it needs nothing but itself, and no name can break out of it."""

import base64
import hashlib
import html
import re

import numpy as np
import pandas
import pytest
from fake_comparison import NASTY

from clipiqa_pyiqa.workbench.compare.comparison import Comparison, build_tables
from clipiqa_pyiqa.workbench.compare.data_set_result import DataSetResult
from clipiqa_pyiqa.workbench.compare.metric_result import MetricResult
from clipiqa_pyiqa.workbench.report.cell_texts import p_value


@pytest.fixture(scope="module")
def source(comparison):
    return comparison.report().text("html")


def test_cells_are_the_tables(source, comparison):
    words = html.unescape(re.sub("<[^>]+>", "", source)).replace("−", "-")
    rows = [row for table in build_tables(comparison.data_sets) for row in table.rows]
    for cell in (cell for row in rows for cell in row):
        assert cell.shown.replace("−", "-") in words and cell.detail.replace("−", "-") in words


def test_points_have_names_and_the_images_that_a_metric_misjudges_are_shown(source):
    assert re.findall("<title>(.*?)</title>", source, re.S)[1].strip() == "photo 00.png"
    first, _ = source.partition("Ranked too high")[2].split("Ranked too low")[:2]
    assert first.index("photo 00.png") < first.index("1, MOS 1")  # which sharp takes for the best
    assert first.count("<figure>") == 1 and NASTY not in source


def test_asks_nothing_of_the_network_and_allows_only_our_script(source):
    """Though labels and names of files hold tags."""
    assert all(link.startswith(("#", "data:")) for link in re.findall(r'(?:src|href)="([^"]*)"', source))
    assert "@import" not in source and not re.search(r"url\((?!#)", source)
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", source, re.S)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', source)
    assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}'" in policy
    assert "unsafe" not in policy.partition("script-src")[2]


@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 520])
def test_in_a_browser_heads_sort_the_table_and_the_page_is_no_wider_than_the_window(source, tmp_path, browser, width):
    """The highest first and words last."""
    (tmp_path / "report.html").write_text(source, "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "report.html").as_uri())
    table = page.locator("table").filter(has=page.locator("caption", has_text=re.compile("^graded$")))
    table.get_by_role("button", name="SROCC").click()
    first = table.locator("tbody tr > :first-child").all_inner_texts()
    assert [text.split()[0] for text in first] == ["niqe", "sharp", "flat", "piqe"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not said


def six_metrics():
    """A comparison of six metrics with long names, with the differences of all pairs."""
    scores = np.random.default_rng(0).random((40, 6))
    names = [f"metric-number-{number}" for number in range(6)]
    paths = [f"{number}.png" for number in range(40)]
    data_set = DataSetResult(
        "wide",
        pandas.DataFrame(scores, pandas.Index(paths, name="path"), names),
        pandas.Series(scores[:, 0] + scores[:, 1], index=paths),
        metrics={name: MetricResult() for name in names},
        bootstrap=100,
    )
    return Comparison((data_set,), {})


@pytest.mark.slow
def test_tables_of_six_metrics_are_printed_whole_and_fill_a_wide_screen(tmp_path, browser):
    report = tmp_path / "report.html"
    report.write_text(six_metrics().report().text("html"), "utf-8")
    cut_off = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth).length"

    screen = browser.new_page(viewport={"width": 1920, "height": 900})
    screen.goto(report.as_uri())
    assert screen.evaluate(cut_off) == 0
    assert screen.evaluate("document.querySelector('table').clientWidth") > 1600

    paper = browser.new_page(viewport={"width": 955, "height": 700})  # US letter, turned, at 96 pixels an inch
    paper.goto(report.as_uri())
    paper.emulate_media(media="print")
    assert paper.evaluate(cut_off) == 0
    assert paper.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_bound_of_a_p_value_is_rounded_up():
    assert p_value(0.0014, is_lowest=True) == "p ≤ 0.002" and p_value(0.0014, is_lowest=False) == "p = 0.001"
    assert p_value(0.001, is_lowest=True) == "p ≤ 0.001" and p_value(0.0009, is_lowest=True) == "p < 0.001"
