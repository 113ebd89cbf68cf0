"""Tables of a comparison: the numbers are the frame's, words stand where there is none, no name breaks a format."""

import dataclasses
import io
import itertools
import math
import shutil
import subprocess

import fake_comparison
import numpy as np
import pandas
import pytest
from scipy import stats

from clipiqa_pyiqa.workbench.compare.comparison import Comparison, build_tables, legend
from clipiqa_pyiqa.workbench.compare.data_set_result import DataSetResult
from clipiqa_pyiqa.workbench.compare.scored_images import MetricResult
from clipiqa_pyiqa.workbench.opinions.published import PAPER
from clipiqa_pyiqa.workbench.report.table import PACKAGES
from clipiqa_pyiqa.workbench.results import columns
from clipiqa_pyiqa.workbench.stats.intervals import holm


def named(comparison, title):
    (table,) = (table for table in build_tables(comparison.data_sets) if table.title == title)
    return table


def test_every_number_of_a_summary_is_the_frames(comparison):
    for statistic in ["SROCC", "PLCC", "KRCC"]:
        table = named(comparison, "graded")
        frame = comparison.frame()
        cells = [row[table.heads.index(f"{statistic} ↑")] for row in table.rows]
        expected = frame.loc[frame.data_set == "graded", [statistic, f"{statistic} low", f"{statistic} high"]]
        for cell, (value, low, high) in zip(cells, expected.to_numpy(), strict=True):
            assert cell.text.rstrip("†") == ("–" if math.isnan(value) else f"{value:.3f}")
            assert cell.detail == ("" if math.isnan(value) else f"[{low:.3f}, {high:.3f}]")
        assert [cell.mark for cell in cells] == ["", "best", "", ""]


def test_a_good_lower_better_metric_is_positive_and_failures_are_said(comparison):
    table = named(comparison, "graded")
    assert named(comparison, "dmos_<b>&%").rows[1][2].text == "1.000"
    reasons = {"flat": fake_comparison.CONSTANT, "piqe": fake_comparison.FAILURE}
    assert table.reasons == {**reasons, "left out": "'broken.png' is truncated."}


def test_metrics_of_every_data_set_are_correlated_with_each_other(comparison):
    table = named(comparison, "graded: SROCC between metrics")
    scores = comparison.data_sets[0].scores
    assert table.heads == ["metric", "sharp", "niqe", "flat"]
    assert [cell.text for cell in table.rows[2]][1:] == ["–"] * 3
    assert table.rows[0][2].value == pytest.approx(-stats.spearmanr(scores["sharp"], scores["niqe"])[0])


def test_published_values_with_source_and_difference(comparison):
    table = named(comparison, "graded: beside published values")
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    judges = {row["metric"].text: row for row in rows[2:]}
    assert [row["metric"].text for row in rows[:2]] == ["niqe", "niqe"]
    srocc = next(row["SROCC published"] for row in rows if row["source"].text == "pyiqa's benchmark table")
    assert (srocc.text, srocc.value, srocc.detail) == ("0.451", 0.4505, f"{1 - 0.4505:+.3f}")
    assert judges["RALI"]["trained on"].text == "KonIQ-10k, training part" and "niqe" not in judges
    assert not judges["RALI"]["PLCC published"].detail


def test_two_sources_of_one_metric_stand_side_by_side_and_the_one_that_ours_meets_is_marked(tmp_path):
    graded = fake_comparison.graded(tmp_path)
    scores = pandas.DataFrame({"ours": graded.mos + np.random.default_rng(0).normal(scale=11, size=40)})
    metrics = {"ours": MetricResult(published_as=PAPER)}
    found = Comparison((dataclasses.replace(graded, scores=scores, metrics=metrics),))
    table = named(found, "graded: beside published values")
    rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
    cells = [row["SROCC published"] for row in rows if row["metric"].text == "ours"]
    assert [cell.text for cell in cells] == ["0.612", "0.640", "0.702"]
    low, high = found.frame().loc[0, ["SROCC low", "SROCC high"]]
    assert [cell.detail.endswith("✓") for cell in cells] == [low <= cell.value <= high for cell in cells]


def test_without_opinion_there_are_no_correlations(comparison):
    table = named(comparison, "holiday")
    assert not {"SROCC ↑", "PLCC ↑", "KRCC ↑"} & set(table.heads)
    assert "no opinion scores" in table.before[0] and not table.reasons


def test_without_bootstrap_there_are_no_intervals_and_differences(tmp_path):
    data = dataclasses.replace(fake_comparison.graded(tmp_path), bootstrap=0)
    assert "switched off" in legend([data])[1]
    assert "[" not in Comparison((data,)).table("table")
    assert data.pairs["p"].isna().all() and not data.pairs["significant"].any()
    assert not [table for table in build_tables([data]) if "differ" in table.title]
    assert dataclasses.replace(data, mos=pandas.Series()).pairs.empty


def test_csv_is_the_frame_in_full_precision_and_nothing_else(comparison):
    read = pandas.read_csv(io.StringIO(comparison.table("csv")))
    frame = comparison.frame().replace("", math.nan)
    pandas.testing.assert_frame_equal(read, frame, rtol=1e-15, check_dtype=False)
    row = frame.loc[1]
    assert row["metric"] == "niqe" and row["direction"] == "lower"
    assert row["SROCC minus published"] == pytest.approx(row["SROCC"] - row["published SROCC"])


def test_intervals_and_p_values_say_whether_they_are_corrected(comparison):
    table = named(comparison, "graded: differences")
    heads = [(column.group, column.name) for column in table.columns]
    assert heads[1:3] == [("SROCC", "difference [95 %, uncorrected]"), ("SROCC", "p (Holm)")]
    assert "interval of each difference alone" in table.before[1] and "Holm's rule for 1 pair" in table.before[1]
    assert "of each value alone" in legend(comparison.data_sets)[1]


def test_names_columns_caption_and_key_are_the_authors(comparison, caplog):
    look = {"labels": {"niqe": "NIQE", "graded": "Ours & theirs"}, "show": ["n", "SROCC", "nothing"]}
    found = comparison.report(**look, caption="50 % more", key="tab:x")
    table = found.tables[0]
    assert table.heads == ["metric", "n", "SROCC ↑"] and table.title == "Ours & theirs"
    assert [row[0].text for row in table.rows] == ["sharp", "NIQE", "flat", "piqe"]
    assert found.unknown == ["nothing"] and "nothing" in caplog.text and "higher" not in caplog.text
    assert list(found.frame["metric"])[1] == "niqe"
    latex = found.text("latex")
    assert r"\caption{50 \% more}\label{tab:x}" in latex and r"\label{tab:x-2}" in latex and "NIQE & 40 &" in latex
    page = found.text("html")
    assert page.count("<h2>Ours &amp; theirs</h2>") == 1 and "NIQE score" in page and "<summary>NIQE</summary>" in page
    assert "niqe score" not in page and "on graded" not in page


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX is installed")
def test_a_document_with_the_tables_compiles(comparison, tmp_path):
    head = rf"\documentclass{{article}}{PACKAGES}\begin{{document}}"
    (tmp_path / "x.tex").write_text(f"{head}\n{comparison.table('latex')}\n\\end{{document}}", "utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "x.tex"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def close():
    """'good' and 'less' share most errors: their intervals overlap, yet they differ. 'noisy' lacks some images."""
    rng = np.random.default_rng(0)
    mos = rng.normal(size=300)
    shared = mos + rng.normal(size=300)
    scores = pandas.DataFrame(
        {
            "less": -shared - 0.5 * rng.normal(size=300),
            "good": shared + 0.1 * rng.normal(size=300),
            "same": np.exp(shared + 0.1 * rng.normal(size=300)),
            "noisy": mos + 9 * rng.normal(size=300),
            "flat": np.ones(300),
        }
    )
    scores.loc[:9, "noisy"] = math.nan
    metrics = {label: MetricResult(columns.Column(label, {"lower_better": label == "less"})) for label in scores}
    return DataSetResult("close", scores, pandas.Series(mos), metrics=metrics)


def test_every_two_metrics_are_compared_on_the_images_that_both_have(close):
    tables = dict(iter(Comparison((close,)).differences().groupby("statistic")))
    np.testing.assert_allclose(tables["KRCC"]["p Holm"], holm(tables["KRCC"]["p"]))
    frame = tables["SROCC"].set_index(["first", "second"])
    assert list(frame.index) == list(itertools.combinations(["less", "good", "same", "noisy"], 2))
    assert frame["n"].tolist() == [300, 300, 290, 300, 290, 290]
    cells = [row[2].text.endswith("†") for row in named(Comparison((close,)), "close").rows]
    assert cells == [True, False, False, True, False]  # the best is good; same does not differ, flat has no value
    (footnote,) = (line for line in Comparison((close,)).table().splitlines() if line.startswith("# †"))
    assert "SROCC, PLCC or KRCC" in footnote and "†" not in Comparison((close,)).table(show=["n"])
    found = close.estimates
    assert found["less"]["SROCC"].high > found["good"]["SROCC"].low  # so these say nothing
    pair = frame.loc[("less", "good")]
    assert pair["difference"] == pytest.approx(found["less"]["SROCC"].value - found["good"]["SROCC"].value)
    assert pair["low"] < pair["high"] < 0 and pair["significant"]
    assert not frame.loc[("good", "same"), "significant"]
    alone = dataclasses.replace(close, metrics={name: close.metrics[name] for name in ("less", "good")}).pairs
    assert (alone.loc[0, ["low", "high", "p"]] == pair[["low", "high", "p"]]).all()
    np.testing.assert_allclose(frame["p Holm"], holm(frame["p"]))
