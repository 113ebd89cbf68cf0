"""The report: what it says is the frame's, it needs nothing but itself, and no name can break out of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import fake_comparison
import numpy as np
import pandas
import pytest
from PIL import Image

from clipiqa_pyiqa.comparison.page import report_page
from clipiqa_pyiqa.comparison.results import Comparison, DataSetResult, MetricResult

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
        self.elements.append((tag, {key: value or "" for key, value in attrs}, []))

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

    def tables(self) -> dict[str, list[list[tuple[str, float]]]]:
        """Caption -> rows of cells: text, and the number to sort by (NaN for words)."""
        tables: dict[str, list[list[tuple[str, float]]]] = {}
        rows: list[list[tuple[str, float]]] = []
        for tag, attributes, text in self.elements:
            if tag == "caption":
                rows = tables.setdefault("".join(text), [])
            elif tag == "tr":
                rows.append([])
            elif tag in ("th", "td"):
                rows[-1].append(("".join(text), float(attributes.get("data-value", "nan"))))
        return tables


@pytest.fixture(scope="module")
def source(comparison: Comparison) -> str:
    return report_page(comparison.data_sets, comparison.settings)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


class TestContent:
    def test_numbers_in_the_cells_are_the_frames(self, page: Page, comparison: Comparison) -> None:
        frame = comparison.frame()
        for name in ("graded", "dmos_<b>&%"):
            heads, *rows = page.tables()[name]
            columns = [text for text, _ in heads]
            expected = frame[frame.data_set == name]
            assert [row[0][0] for row in rows] == expected.metric.tolist()
            for statistic in ("SROCC", "PLCC", "KRCC", "n"):
                values = [row[columns.index(statistic)][1] for row in rows]
                np.testing.assert_array_equal(values, expected[statistic].to_numpy(float))
            for row, (_, record) in zip(rows, expected.iterrows(), strict=True):
                text = row[columns.index("SROCC")][0]
                if math.isnan(record["SROCC"]):
                    assert text in ("undefined", "failed")
                else:
                    assert text == f"{record['SROCC']:.3f}[{record['SROCC low']:.3f}, {record['SROCC high']:.3f}]"

    def test_says_what_came_out_and_how_to_read_it(self, page: Page) -> None:
        findings = page.text(lambda tag, _: tag == "li")
        assert "On graded (40 images) niqe agrees best with people: SROCC 1.000 [1.000, 1.000]" in findings[0]
        assert "then sharp with 0.715" in findings[0] and "not certain" in findings[0]
        assert "holiday" in findings[2] and "No human scores" in findings[2]
        (reading,) = page.of_class("reading")
        assert "A positive correlation is good" in reading and "95 % bootstrap interval" in reading

    def test_a_metric_that_ranks_the_wrong_way_is_not_praised(self) -> None:
        scores = pandas.DataFrame({"bad": [4.0, 3, 2, 1], "worse": [4.0, 2, 3, 1]})
        metrics = {label: MetricResult(label) for label in scores}
        data = DataSetResult("x", scores, pandas.Series([1.0, 2, 3, 4]), metrics=metrics, bootstrap=0)
        said = Page(report_page([data], {})).of_class("findings")[0]
        assert "no metric agrees with people: the highest SROCC is that of worse, −0.800" in said

    def test_order_of_two_is_called_certain_only_if_their_intervals_are_apart(self) -> None:
        rng = np.random.default_rng(0)
        mos = pandas.Series(rng.normal(size=200))
        scores = pandas.DataFrame({"good": mos + rng.normal(size=200) / 10, "poor": mos + rng.normal(size=200) * 5})
        metrics = {label: MetricResult(label) for label in scores}
        said = report_page([DataSetResult("x", scores, mos, metrics=metrics, bootstrap=50)], {})
        assert "then <b>poor</b>" in said and "not certain" not in said

    def test_provenance_and_settings(self, page: Page) -> None:
        terms = page.text(lambda tag, _: tag in ("dt", "dd"))
        pairs = dict(zip(terms[::2], terms[1::2], strict=True))
        assert pairs["metric"] == "CLIP-IQA <RN50>" and pairs["weights"] == "seeded"
        assert pairs["command"] == "clipiqa compare -m <x>"

    def test_a_picture_of_everything_with_words_for_it(self, page: Page) -> None:
        said = [attributes.get("aria-label") for tag, attributes, _ in page.elements if tag == "svg"]
        assert said == [
            "Bars: SROCC of each metric with opinion on graded",
            "Heat map: SROCC between metrics on graded",
            *(f"Scores against opinion: {label} on graded" for label in ("niqe", "sharp", "flat")),  # best first
            "Bars: SROCC of each metric with opinion on dmos_<b>&%",
            "Scores against opinion: niqe on dmos_<b>&%",
        ]

    def test_the_disagreeing_images_with_where_each_metric_places_them(
        self, page: Page, comparison: Comparison
    ) -> None:
        names = page.of_class("name")
        chosen = comparison.data_sets[0].disagreements()
        assert len(names) == len(chosen) == 2
        images = [attributes for tag, attributes, _ in page.elements if tag == "img"]
        for image, one in zip(images, chosen, strict=True):
            pixels = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))
            red = 0 if one.path.endswith("00.png") else 39 * 6
            assert np.abs(np.subtract(pixels.getpixel((10, 10)), (red, 100, 200))).max() <= 4  # JPEG
        places = page.of_class("places")[names.index("photo 00.png")]
        assert places == "sharp99 %niqe1 %people1 %"

    def test_many_metrics_fold_away_and_the_extremes_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("clipiqa_pyiqa.comparison.page._SHOWN", 2)
        monkeypatch.setattr("clipiqa_pyiqa.comparison.page._PLACES", 2)
        paths = fake_comparison.photos(tmp_path, 8)
        rng = np.random.default_rng(0)
        labels = ["m00", "m01", "m02", "m03"]
        scores = pandas.DataFrame(rng.random((8, 4)), index=paths, columns=labels)
        metrics = {label: MetricResult(label) for label in labels}
        data = DataSetResult("x", scores, pandas.Series(np.arange(8.0), paths), metrics=metrics, bootstrap=0)
        page = Page(report_page([data], {}))
        assert page.text(lambda tag, _: tag == "summary") == ["2 more metrics"]
        first = data.disagreements()[0]
        extremes = [next(iter(first.places)), next(reversed(first.places))]
        assert re.findall(r"m\d\d", page.of_class("places")[0]) == extremes
        assert "2 more between" in page.of_class("places")[0]


class TestSelfContained:
    def test_asks_nothing_of_the_network(self, source: str, page: Page) -> None:
        for _, attributes, _ in page.elements:
            for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                assert attributes.get(name, "#").strip().startswith(("#", "data:"))
        assert "@import" not in source and not re.search(r"url\((?!#)", source)
        assert set(re.findall(r"https?://[\w./-]+", source)) <= {
            "http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg",
        }  # fmt: skip

    def test_policy_allows_our_script_only_and_no_requests(self, page: Page) -> None:
        (script,) = page.text(lambda tag, _: tag == "script")
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        (policy,) = (a["content"] for tag, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in policy and f"script-src 'sha256-{allowed}'" in policy
        assert "unsafe" not in policy.partition("script-src")[2]

    def test_ids_are_unique_and_links_lead_somewhere(self, page: Page) -> None:
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [attributes["href"] for tag, attributes, _ in page.elements if tag == "a"]
        assert links == ["#overview", "#data-0", "#data-1", "#data-2", "#metrics"]
        assert {link[1:] for link in links} <= set(ids)


class TestEscaping:
    def test_labels_errors_notes_and_provenance_stay_text(self) -> None:
        bad = '</td><script>x</script>"\' onload="x'
        scores = pandas.DataFrame({bad: [1.0, 2, 3], bad + "2": [3.0, 1, 2], "lost": [math.nan] * 3}, index=[bad] * 3)
        metrics = {
            label: MetricResult(label, score_range=bad, provenance={bad: bad}, error=bad if label == "lost" else "")
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
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].firstChild.textContent.trim());
const press = (name) => [...table.querySelectorAll("th button")].find((b) => b.textContent === name).click();
const seen = {before: order()};
press("SROCC"); seen.srocc = order();
press("SROCC"); seen.again = order();
press("metric"); seen.metric = order();
seen.sorted = table.tHead.rows[0].cells[0].getAttribute("aria-sort");
seen.width = innerWidth;
seen.overflow = document.documentElement.scrollWidth - innerWidth;
report.id = "seen";
report.textContent = JSON.stringify(seen);
document.body.append(report);
"""


@pytest.mark.parametrize("width", [1280, 520])
def test_in_a_browser(source: str, tmp_path: Path, width: int) -> None:
    """Heads sort the table, the highest first and words last; the page is never wider than the window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    probed = source.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{PROBE}</script></body>"
    )
    (tmp_path / "report.html").write_text(probed, encoding="utf-8")
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
        *(f"--window-size={width},900", "--enable-logging=stderr", "--dump-dom", f"file://{tmp_path}/report.html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Content Security Policy" not in done.stderr and "CONSOLE" not in done.stderr, done.stderr
    (said,) = Page(done.stdout).text(lambda _, attributes: attributes.get("id") == "seen")
    seen = json.loads(said)
    assert seen["before"] == ["sharp", "niqe", "flat", "piqe"]
    assert seen["srocc"] == ["niqe", "sharp", "flat", "piqe"]
    assert seen["again"] == ["sharp", "niqe", "flat", "piqe"]
    assert seen["metric"] == ["flat", "niqe", "piqe", "sharp"] and seen["sorted"] == "ascending"
    assert abs(seen["width"] - width) < 30 and seen["overflow"] <= 0
