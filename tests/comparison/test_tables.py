"""Tables of a comparison: the numbers are the frame's, words stand where there is none, no name breaks a format."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import shutil
import subprocess
from pathlib import Path

import fake_comparison
import numpy as np
import pandas
import pytest

from clipiqa_pyiqa.comparison.results import Comparison, DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.summary import build_tables, legend
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.files.names import one_line
from clipiqa_pyiqa.report.table import Table
from clipiqa_pyiqa.stats.bootstrap import holm


@pytest.fixture(scope="module")
def text(comparison: Comparison) -> str:
    return comparison.table("table")


def named(comparison: Comparison, title: str) -> Table:
    (table,) = (table for table in build_tables(comparison.data_sets) if table.title == title)
    return table


def row_of(lines: str, label: str, number: int = 0) -> str:
    """The ``number``-th line that begins with a label."""
    return [line for line in lines.splitlines() if re.match(rf"(\| )?{label}\b", line)][number]


class TestSummary:
    def test_every_number_is_the_frames(self, comparison: Comparison) -> None:
        frame = comparison.frame()
        table = named(comparison, "graded")
        rows = frame[frame.data_set == "graded"]
        for statistic in ("SROCC", "PLCC", "KRCC"):
            column = [row[table.heads.index(statistic)] for row in table.rows]
            for cell, (_, row) in zip(column, rows.iterrows(), strict=True):
                if math.isnan(row[statistic]):
                    assert cell.text in ("undefined", "failed") and math.isnan(cell.value)
                else:
                    assert cell.value == row[statistic] and cell.text == f"{row[statistic]:.3f}"
                    assert cell.detail == f"[{row[f'{statistic} low']:.3f}, {row[f'{statistic} high']:.3f}]"

    def test_the_highest_is_best_and_a_good_lower_better_metric_is_positive(self, comparison: Comparison) -> None:
        table = named(comparison, "graded")
        best = {row[0].text for row in table.rows if row[table.heads.index("SROCC")].mark}
        assert best == {"niqe"}
        niqe = named(comparison, "dmos_<b>&%").rows[0]
        assert niqe[2].text == "1.000" and not niqe[2].mark  # nothing to be higher than

    def test_no_metric_is_best_where_none_is_good(self) -> None:
        scores = pandas.DataFrame({"bad": [3.0, 2, 1], "worse": [3.0, 1, 2]})
        metrics = {label: MetricResult(label) for label in scores}
        data = DataSetResult("x", scores, pandas.Series([1.0, 2, 3]), metrics=metrics, bootstrap=0)
        assert not [cell for row in build_tables([data])[0].rows for cell in row if cell.mark]

    def test_reasons_and_images_left_out(self, comparison: Comparison) -> None:
        table = named(comparison, "graded")
        assert table.reasons == {"flat": fake_comparison.CONSTANT, "piqe": fake_comparison.FAILURE}
        assert table.left_out[0] == "1 image left out of all metrics:"
        assert table.left_out[1].endswith("broken.png: it is truncated")

    def test_published_values_with_source_and_difference(self, comparison: Comparison) -> None:
        table = named(comparison, "graded: beside published values")
        (row,) = table.rows
        cells = dict(zip(table.heads, row, strict=True))
        assert cells["metric"].text == "niqe" and cells["source"].text == "pyiqa's benchmark table"
        assert cells["SROCC published"].text == "0.451" and cells["SROCC published"].value == 0.4505
        assert cells["SROCC difference"].text == f"{1 - 0.4505:+.3f}"
        assert cells["KRCC published"].value == 0.3069
        assert any("published" in line for line in legend(comparison.data_sets))

    def test_without_opinion_the_scores_themselves_are_described(self, comparison: Comparison) -> None:
        table = named(comparison, "holiday")
        assert not {"SROCC", "PLCC", "KRCC"} & set(table.heads)
        assert [cell.text for cell in table.rows[0][2:5]] == ["0.1", "0.55", "1"]
        assert "no opinion scores" in table.before[0] and not table.reasons

    def test_overview_of_several_data_sets(self, comparison: Comparison) -> None:
        table = named(comparison, "All data sets: SROCC / PLCC")
        assert table.heads == ("metric", "better", "graded, n = 40", "dmos_<b>&%, n = 40")
        frame = comparison.frame().set_index(["data_set", "metric"])
        sharp, niqe = frame.loc[("graded", "sharp")], frame.loc[("dmos_<b>&%", "niqe")]
        assert table.rows[0][2].text == f"{sharp.SROCC:.3f} / {sharp.PLCC:.3f}"
        assert table.rows[1][3].text == f"{niqe.SROCC:.3f} / {niqe.PLCC:.3f}"
        assert table.rows[0][3].text == "not run" and table.rows[3][2].text == "failed"

    def test_legend_says_sign_intervals_and_which_plcc(self, tmp_path: Path) -> None:
        data = fake_comparison.graded(tmp_path, plcc_fit=True)
        lines = legend([data])
        assert "positive" in lines[0] and "lower-better" in lines[0] and "DMOS" in lines[0]
        assert "95 %" in lines[1] and "100 resamples, seed 0" in lines[1]
        assert "raw" in lines[2] and "logistic fit with 4 parameters" in lines[2]
        columns = build_tables([data])[0].heads
        assert columns[2:6] == ("SROCC", "PLCC", "KRCC", "PLCC fitted")

    def test_no_intervals_without_bootstrap(self, tmp_path: Path) -> None:
        whole = fake_comparison.graded(tmp_path)
        data = DataSetResult("x", whole.scores, whole.mos, metrics=whole.metrics, bootstrap=0)
        assert "switched off" in legend([data])[1]
        assert "[" not in Comparison((data,)).table("table")


class TestText:
    def test_best_has_a_star_and_reasons_follow(self, text: str) -> None:
        assert row_of(text, "niqe", 1).count("*") == 3 and "*" not in row_of(text, "sharp", 1)
        assert f"  flat: {fake_comparison.CONSTANT}" in text.splitlines()
        assert f"  piqe: {fake_comparison.FAILURE}" in text.splitlines()

    def test_nothing_steers_the_terminal(self) -> None:
        assert one_line("a\x1b[2Jb\n\u202ec\udcff é 画") == r"a\x1b[2Jb\n\u202ec\xff é 画"
        data = DataSetResult("a\x1b]0;x\x07\nb", pandas.DataFrame({"m": [1.0]}), None, metrics={"m": MetricResult("m")})
        assert "\x1b" not in Comparison((data,)).table("table")


class TestCsv:
    def test_pandas_reads_back_the_frame_in_full_precision(self, comparison: Comparison) -> None:
        read = pandas.read_csv(io.StringIO(comparison.table("csv")), comment="#")
        frame = comparison.frame()
        assert list(read.columns) == list(frame.columns)
        for column in frame:
            if frame[column].dtype == object or frame[column].dtype == "str":
                assert read[column].fillna("").tolist() == frame[column].tolist(), column
            else:
                # pandas' reader may miss a float by its last digit
                np.testing.assert_allclose(read[column].to_numpy(float), frame[column].to_numpy(float), rtol=1e-15)

    def test_comments_say_sign_settings_and_which_metric(self, comparison: Comparison) -> None:
        comments = [line[2:] for line in comparison.table("csv").splitlines() if line.startswith("# ")]
        assert legend(comparison.data_sets)[0] in comments
        assert "command: clipiqa compare -m <x>" in comments
        assert "sharp = metric: CLIP-IQA <RN50>, weights: seeded" in comments


class TestLatex:
    def test_tables_are_whole_and_captions_say_the_sign(self, comparison: Comparison) -> None:
        said = comparison.table("latex")
        assert said.count(r"\begin{table*}") == said.count(r"\end{table*}") == 6
        bodies = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", said, flags=re.DOTALL)
        for columns, body in bodies:
            lines = [line for line in body.splitlines() if line.endswith(r"\\")]
            assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(columns)}
        captions = re.findall(r"\\caption\{(.*)\}", said)
        assert ["negated" in caption for caption in captions] == [True, True, False, True, True, False]
        assert "the row's SROCC minus the column's" in captions[2]
        assert r"\textbf{1.000} {\scriptsize [1.000, 1.000]}" in said

    @pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
    @pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
    def test_compiles_and_fits_the_page(self, comparison: Comparison, columns: str, tmp_path: Path) -> None:
        before = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx,xcolor}}\begin{{document}}"
        document = "\n".join([before, comparison.table("latex"), r"\end{document}"])
        (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and (tmp_path / "tables.pdf").stat().st_size > 0, done.stdout
        assert "Overfull" not in done.stdout


class TestDifferences:
    @pytest.fixture()
    def close(self) -> DataSetResult:
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
        metrics = {label: MetricResult(label, lower_better=label == "less") for label in scores}
        return DataSetResult("close", scores, pandas.Series(mos), metrics=metrics)

    def test_every_two_on_the_images_that_both_have(self, close: DataSetResult) -> None:
        frame = Comparison((close,)).differences().set_index(["first", "second"])
        assert list(frame.index) == [
            *(("less", "good"), ("less", "same"), ("less", "noisy")),
            *(("good", "same"), ("good", "noisy"), ("same", "noisy")),
        ]
        assert frame["n"].tolist() == [300, 300, 290, 300, 290, 290]
        found = close.estimates
        assert found["less"]["SROCC"].high > found["good"]["SROCC"].low  # so these say nothing
        pair = frame.loc[("less", "good")]
        assert pair["SROCC difference"] == pytest.approx(found["less"]["SROCC"].value - found["good"]["SROCC"].value)
        assert pair["low"] < pair["high"] < 0 and pair["significant"]
        assert not frame.loc[("good", "same"), "significant"]
        np.testing.assert_allclose(frame["p Holm"], holm(frame["p"]))

    def test_matrix_has_the_best_first_and_marks_what_is_more_than_chance(self, close: DataSetResult) -> None:
        table = named(Comparison((close,)), "close: which differ in SROCC")
        order = sorted(("less", "good", "same", "noisy"), key=lambda label: -close.estimates[label]["SROCC"].value)
        assert table.heads == ("metric", *order) and [row[0].text for row in table.rows] == order
        pairs = {frozenset((pair.first, pair.second)): pair for pair in close.pairs}
        for row in table.rows:
            for other, cell in zip(order, row[1:], strict=True):
                if other == row[0].text:
                    assert cell.text == "–"
                    continue
                pair = pairs[frozenset((row[0].text, other))]
                sign = 1 if pair.first == row[0].text else -1
                assert cell.value == sign * pair.srocc.value and bool(cell.mark) == pair.significant
                assert cell.detail == f"p = {pair.p_holm:.3f}"

    def test_many_metrics_leave_the_console(self) -> None:
        rng = np.random.default_rng(0)
        scores = pandas.DataFrame(rng.normal(size=(30, 12)), columns=[f"m{i}" for i in range(12)])
        metrics = {label: MetricResult(label) for label in scores}
        many = Comparison((DataSetResult("x", scores, pandas.Series(rng.normal(size=30)), metrics=metrics),))
        assert "which differ" in many.table("markdown") and "which differ" not in many.table("table")
        lowest = 2 / (max(80 * 66, 10_000) + 1)  # so many resamples that 66 pairs can be corrected for
        assert many.data_sets[0].pairs[0].srocc.p >= lowest and 66 * lowest < 0.05

    def test_without_opinion_or_bootstrap_there_are_none(self, close: DataSetResult) -> None:
        assert not dataclasses.replace(close, mos=None).pairs
        none = dataclasses.replace(close, bootstrap=0)
        assert math.isnan(none.pairs[0].srocc.p) and not none.pairs[0].significant
        assert not [table for table in build_tables([none]) if "differ" in table.title]


class TestFitted:
    def test_no_winner_where_the_fitted_curve_turns(self) -> None:
        rng = np.random.default_rng(0)
        x = np.linspace(-2, 2, 80)
        mos = pandas.Series(2 / (1 + np.exp(-8 * x)) - 0.6 * x)  # falls, rises in the middle, falls again
        scores = pandas.DataFrame({"line": mos + rng.normal(size=80), "turns": x})
        metrics = {label: MetricResult(label) for label in scores}
        data = DataSetResult("x", scores, mos, metrics=metrics, bootstrap=0, plcc_fit=True, fit_parameters=5)
        assert data.estimates["turns"]["PLCC fitted"].value > data.estimates["line"]["PLCC fitted"].value
        table = named(Comparison((data,)), "x")
        marked = {head: [row[i].mark for row in table.rows] for i, head in enumerate(table.heads)}
        assert marked["PLCC fitted"] == marked["RMSE fitted"] == ["", ""] and any(marked["SROCC"])
        assert table.reasons["turns"] == "its fitted curve is not monotonic"

    def test_the_lowest_rmse_is_best(self) -> None:
        rng = np.random.default_rng(0)
        mos = pandas.Series(np.linspace(0, 100, 80))
        scores = pandas.DataFrame({"poor": np.tanh(mos / 50) + rng.normal(size=80) / 3, "good": np.tanh(mos / 50)})
        metrics = {label: MetricResult(label) for label in scores}
        data = DataSetResult("x", scores, mos, metrics=metrics, bootstrap=0, plcc_fit=True)
        table = named(Comparison((data,)), "x")
        place = table.heads.index("RMSE fitted")
        assert [row[place].mark for row in table.rows] == ["", "best"]


def test_save_writes_all_that_the_command_does(comparison: Comparison, tmp_path: Path) -> None:
    comparison.save(tmp_path / "a" / "b")
    names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert names == [
        *("comparison.csv", "comparison.md", "comparison.tex", "differences.csv", "report.html", "scores"),
    ]
    assert (tmp_path / "a" / "b" / "comparison.md").read_text(encoding="utf-8") == comparison.table("markdown")
    read = pandas.read_csv(tmp_path / "a" / "b" / "differences.csv", comment="#")
    pandas.testing.assert_frame_equal(read, comparison.differences(), rtol=1e-15, check_dtype=False)
    kept = pandas.read_parquet(tmp_path / "a" / "b" / "scores" / "graded.parquet")
    pandas.testing.assert_frame_equal(kept.drop(columns="mos"), comparison.data_sets[0].scores)
    with pytest.raises(CLIPIQAError, match="exists already"):
        comparison.save(tmp_path / "a" / "b")
    comparison.save(tmp_path / "a" / "b", overwrite=True)
    comparison.save(tmp_path / "c", report=False)
    assert not (tmp_path / "c" / "report.html").exists()
    with pytest.raises(CLIPIQAError, match="is not a folder"):
        comparison.save(tmp_path / "c" / "comparison.csv")
