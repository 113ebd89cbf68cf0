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

from clipiqa_pyiqa.workbench.compare.comparison import Comparison, build_tables
from clipiqa_pyiqa.workbench.compare.data_set_result import DataSetResult
from clipiqa_pyiqa.workbench.compare.metric_result import MetricResult
from clipiqa_pyiqa.workbench.opinions.published import PAPER
from clipiqa_pyiqa.workbench.report.latex import PACKAGES
from clipiqa_pyiqa.workbench.results import columns
from clipiqa_pyiqa.workbench.stats.significance import holm


def named(comparison, title):
    (table,) = (table for table in build_tables(comparison.data_sets) if table.title == title)
    return table


def test_every_number_of_a_summary_is_the_frames(comparison):
    for statistic in ["SROCC", "PLCC", "KRCC"]:
        table = named(comparison, "graded")
        frame = comparison.frame()
        cells = [row[table.titles.index(f"{statistic} ↑")] for row in table.rows]
        expected = frame.loc[frame.data_set == "graded", [statistic, f"{statistic} low", f"{statistic} high"]]
        for cell, (value, low, high) in zip(cells, expected.to_numpy(), strict=True):
            assert cell.text == ("–" if math.isnan(value) else f"{value:.3f}")
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
    assert table.titles == ["metric", "sharp", "niqe", "flat"]
    assert [cell.text for cell in table.rows[2]][1:] == ["–"] * 3
    assert table.rows[0][2].value == pytest.approx(-stats.spearmanr(scores["sharp"], scores["niqe"])[0])


def on_live_in_the_wild(count, metrics, noise=0.3):
    """A comparison on so many images that are called LIVE-itW; each metric agrees with people but for some noise."""
    index = [f"{number}.bmp" for number in range(count)]
    mos = pandas.Series(np.linspace(0, 100, count), index)
    random = np.random.default_rng(0)
    scores = {label: mos / 100 + random.normal(scale=noise, size=count) for label in metrics}
    options = {"published_as": "livec", "bootstrap": 20}
    return Comparison((DataSetResult("live", pandas.DataFrame(scores, index), mos, metrics=metrics, **options),))


def published(comparison, name="live"):
    table = named(comparison, f"{name}: beside published values")
    return [dict(zip(table.titles, row, strict=True)) for row in table.rows]


def test_published_values_on_other_images_are_not_compared(comparison):
    """``niqe`` here ranks 40 images right; the paper's values are of 1,169, pyiqa's of 1,162."""
    rows = published(comparison, "graded")
    assert [row["metric"].text for row in rows[:4]] == ["BIQI", "BLIINDS-II", "niqe", "KonCept512"]
    niqe = [row for row in rows if row["metric"].text == "niqe"]
    assert [row["source"].text for row in niqe] == ["paper, Table 1", "pyiqa's benchmark table"]
    assert [row["SROCC published"].text for row in niqe] == ["0.463", "0.451"]
    assert [row["SROCC published"].detail for row in niqe] == ["", ""]
    reasons = [row["not compared, because of"].text for row in niqe]
    assert reasons == ["1,169 images, here 40", "1,162 images, here 40"]
    judges = {row["metric"].text: row for row in rows}
    assert judges["RALI"]["trained on"].text == "KonIQ-10k, training part"
    assert judges["RALI"]["not compared, because of"].text == "not in this run"


@pytest.mark.slow
def test_ours_minus_a_published_value_stands_beside_it_on_as_many_images():
    metrics = {"niqe": MetricResult(published_as="niqe"), "ours": MetricResult(published_as=PAPER)}
    for count, source in [(1169, "paper, Table 1"), (1162, "pyiqa's benchmark table")]:
        found = on_live_in_the_wild(count, metrics)
        frame = found.frame().set_index("metric")
        for row in published(found):
            label = row["metric"].text
            is_compared = label in metrics and row["source"].text == source
            assert (row["not compared, because of"].text == "–") == is_compared
            cell = row["SROCC published"]
            gap = frame.loc[label, "SROCC"] - cell.value if is_compared else math.nan
            is_met = is_compared and frame.loc[label, "SROCC low"] <= cell.value <= frame.loc[label, "SROCC high"]
            assert cell.detail.removesuffix(" ✓") == ("" if math.isnan(gap) else f"{gap:+.3f}")
            assert cell.detail.endswith("✓") == is_met


def test_other_weights_are_told():
    metrics = {"ours": MetricResult(published_as=PAPER, unlike_published="weights file RN50.pt 12345678")}
    found = on_live_in_the_wild(1169, metrics)
    assert published(found)[0]["not compared, because of"].text == "weights file RN50.pt 12345678"
    row = found.frame().loc[0]
    assert math.isnan(row["SROCC minus published"]) and row["published SROCC"] == 0.612
    assert row["source"] == "paper, Table 1 (weights file RN50.pt 12345678)"


def test_metrics_that_cannot_be_built_keep_their_published_value_and_the_reason():
    failed = MetricResult(published_as="brisque", error="its file cannot be downloaded.")
    found = on_live_in_the_wild(1169, {"niqe": MetricResult(published_as="niqe"), "brisque": failed})
    found.data_sets[0].scores["brisque"] = math.nan
    rows = {row["metric"].text: row for row in published(found) if row["source"].text.startswith("paper")}
    assert list(rows) == ["BIQI", "BLIINDS-II", "brisque", "niqe", "KonCept512", "VCRNet"]
    assert rows["brisque"]["SROCC published"].text == "0.561"
    assert rows["brisque"]["not compared, because of"].text == "no score: see below"
    assert named(found, "live: beside published values").reasons == {"brisque": "its file cannot be downloaded."}
    assert rows["VCRNet"]["not compared, because of"].text == "no implementation in pyiqa"


def test_without_opinion_there_are_no_correlations(comparison):
    table = named(comparison, "holiday")
    assert not {"SROCC ↑", "PLCC ↑", "KRCC ↑"} & set(table.titles)
    assert "no opinion scores" in table.before[0] and not table.reasons


def test_without_bootstrap_there_are_no_intervals_and_differences(tmp_path):
    data = dataclasses.replace(fake_comparison.graded(tmp_path), bootstrap=0)
    assert "switched off" in build_tables([data])[0].notes[1]
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
    assert row["published SROCC"] == 0.463 and math.isnan(row["SROCC minus published"])


def test_intervals_and_p_values_say_whether_they_are_corrected(comparison):
    table = named(comparison, "graded: differences")
    heads = [(column.group, column.name) for column in table.columns]
    assert heads[1:3] == [("SROCC", "difference [95 %, uncorrected]"), ("SROCC", "p (Holm)")]
    assert "interval of each difference alone" in table.before[1] and "Holm's rule for 1 pair" in table.before[1]
    assert "of each value alone" in named(comparison, "graded").notes[1]


def test_names_columns_caption_and_key_are_the_authors(comparison, tmp_path, caplog):
    look = {"labels": {"niqe": "NIQE", "graded": "Ours & theirs"}, "show": ["n", "SROCC", "nothing"]}
    found = comparison.report(**look, caption=r"50\,\% more, $p$", key="tab:x")
    table = found.tables[0]
    assert table.titles == ["metric", "n", "SROCC ↑"] and table.title == "Ours & theirs"
    assert [row[0].text for row in table.rows] == ["sharp", "NIQE", "flat", "piqe"]
    assert found.unknown == ["nothing"]
    comparison.save(tmp_path / "saved", **look)
    assert "nothing" in caplog.text and "higher" not in caplog.text
    assert list(found.frame["metric"])[1] == "niqe"
    latex = found.text("latex")
    assert (
        r"\caption{50\,\% more, $p$}\label{tab:x}" in latex and r"\label{tab:x-2}" in latex and "NIQE & 40 &" in latex
    )
    page = found.text("html")
    assert page.count("<h2>Ours &amp; theirs</h2>") == 1 and "NIQE score" in page and "<summary>NIQE</summary>" in page
    assert "niqe score" not in page and "on graded" not in page


def test_two_columns_with_the_same_label_are_both_in_latex(comparison):
    report = comparison.report(labels={"PLCC": "r", "KRCC": "r"}, show=["SROCC", "PLCC", "KRCC"])
    latex = report.text("latex")
    assert r"metric & SROCC $\uparrow$ & r $\uparrow$ & r $\uparrow$ \\" in latex
    (sharp,) = (row for row in report.tables[0].rows if row[0].text == "sharp")
    line = next(line for line in latex.splitlines() if line.startswith("sharp &"))
    for cell, shown in zip(sharp, line.split(" & "), strict=True):
        assert cell.text in shown


def test_a_column_that_two_names_show_is_shown_once(comparison):
    report = comparison.report(show=["SROCC", "p (Holm)"])
    (pairs,) = (table for table in report.tables if table.title == "graded: differences")
    assert pairs.titles[1:3] == ["SROCC difference [95 %, uncorrected]", "SROCC p (Holm)"]
    assert pairs.titles.count("SROCC p (Holm)") == 1


def test_notes_are_on_what_is_shown(comparison, close):
    whole = comparison.report()
    latex = whole.text("latex").partition("\n\n")[2]  # without the comments at its start
    for words in ("In brackets", "PLCC is raw", "Pair accuracy"):
        assert words in whole.text() and words in latex
        assert (words in comparison.table(show=["SROCC"])) == (words == "In brackets")
    marked = Comparison((close,))
    printed = marked.table()
    assert "Marks: * = best of its column." in printed and "Marks: * = difference beyond chance." in printed
    assert "bold" not in printed and "Marks: bold = best of its column." in marked.table("markdown")
    assert "Marks" not in marked.table(show=["n"]).partition(": differences")[0]


def test_labels_rename_names_and_never_the_words_of_a_sentence(comparison):
    plain = comparison.report()
    words = ("metric", "scores", "image", "images", "difference", "interval", "higher", "published")
    found = comparison.report(labels={**dict.fromkeys(words, "X"), "niqe": "NIQE", "sharp": "Sharp"})
    assert found.sentences == plain.sentences and found.notes == plain.notes
    pairs = next(table for table in found.tables if "differences" in table.title).columns[0].cells
    assert "Sharp − NIQE" in [cell.text for cell in pairs]
    assert [cell.text for cell in found.tables[0].columns[1].cells] == [
        cell.text for cell in plain.tables[0].columns[1].cells
    ]


def test_a_narrow_table_takes_one_column_of_a_page(comparison):
    narrow = comparison.report(show=["n", "SROCC"]).text("latex")
    assert r"\begin{table}[t]" in narrow.split(r"\end{table}")[0]
    assert narrow.count(r"\begin{table}") == narrow.count(r"\end{table}") > 0
    assert r"\begin{table*}" in comparison.report().text("latex").split(r"\end{table")[0]


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
    cells = [row[2].has_dagger for row in named(Comparison((close,)), "close").rows]
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


@pytest.mark.slow
def test_the_differences_of_many_metrics_are_in_a_file_and_not_on_the_console(tmp_path):
    for count in (5, 6):
        metrics = {f"m{number}": MetricResult() for number in range(count)}
        found = on_live_in_the_wild(40, metrics)
        printed = found.table()
        assert ("m0 − m1" in printed) == (count == 5)
        assert ("differences of 15 pairs of metrics, in differences.csv" in printed) == (count == 6)
        assert len(found.differences()) == 3 * count * (count - 1) / 2
        for format in ("markdown", "html"):
            assert "m4 − m0" in found.table(format) or "m0 − m4" in found.table(format)
