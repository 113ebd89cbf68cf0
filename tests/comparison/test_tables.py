"""Tables of a comparison: the numbers are the frame's, words stand where there is none, no name breaks a format."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import fake_comparison
import numpy as np
import pandas
import pytest

from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.results import Comparison
from clipiqa_pyiqa.comparison.summary import build_tables, legend
from clipiqa_pyiqa.report.table import Cell, Column, Table, latex_table
from clipiqa_pyiqa.stats.bootstrap import holm


def named(comparison: Comparison, title: str) -> Table:
    (table,) = (table for table in build_tables(comparison.data_sets) if table.title == title)
    return table


class TestSummary:
    def test_every_number_is_the_frames(self, comparison: Comparison) -> None:
        table, frame = named(comparison, "graded"), comparison.frame()
        for row, (_, numbers) in zip(table.rows, frame[frame.data_set == "graded"].iterrows(), strict=True):
            for head, cell in zip(table.heads, row, strict=True):
                if head in ("SROCC", "PLCC", "KRCC") and not math.isnan(numbers[head]):
                    assert cell.value == numbers[head] and cell.text == f"{numbers[head]:.3f}"
                    assert cell.detail == f"[{numbers[f'{head} low']:.3f}, {numbers[f'{head} high']:.3f}]"
        assert [row[0].text for row in table.rows if row[table.heads.index("SROCC")].mark] == ["niqe"]
        assert named(comparison, "dmos_<b>&%").rows[1][2].text == "1.000"  # a good lower-better metric is positive
        assert table.reasons == {"flat": fake_comparison.CONSTANT, "piqe": fake_comparison.FAILURE}
        assert table.left_out[1].endswith("broken.png: it is truncated")

    def test_published_values_with_source_and_difference(self, comparison: Comparison) -> None:
        table = named(comparison, "graded: beside published values")
        (row,) = table.rows
        cells = dict(zip(table.heads, row, strict=True))
        assert cells["metric"].text == "niqe" and cells["source"].text == "pyiqa's benchmark table"
        assert cells["SROCC published"].text == "0.451" and cells["SROCC published"].value == 0.4505
        assert cells["SROCC published"].detail == f"{1 - 0.4505:+.3f}" and cells["KRCC published"].value == 0.3069

    def test_without_opinion_the_scores_themselves_are_described(self, comparison: Comparison) -> None:
        table = named(comparison, "holiday")
        assert not {"SROCC", "PLCC", "KRCC"} & set(table.heads)
        assert [cell.text for cell in table.rows[0][2:5]] == ["0.1", "0.55", "1"]
        assert "no opinion scores" in table.before[0] and not table.reasons

    def test_overview_of_several_data_sets(self, comparison: Comparison) -> None:
        table = named(comparison, "All data sets: SROCC and PLCC")
        assert table.heads[2:] == ("graded: SROCC", "graded: PLCC", "dmos_<b>&%: SROCC", "dmos_<b>&%: PLCC")
        sharp = comparison.frame().iloc[0]
        assert [cell.value for cell in table.rows[0][2:4]] == [sharp.SROCC, sharp.PLCC]

    def test_legend_says_sign_intervals_and_which_plcc(self, tmp_path: Path) -> None:
        sign, intervals, plcc = legend([fake_comparison.graded(tmp_path, plcc_fit=True)])
        assert "positive" in sign and "100 resamples, seed 0" in intervals and "fit with 4 parameters" in plcc

    def test_without_bootstrap_there_are_no_intervals_and_differences(self, tmp_path: Path) -> None:
        data = dataclasses.replace(fake_comparison.graded(tmp_path), bootstrap=0)
        assert "switched off" in legend([data])[1]
        assert "[" not in Comparison((data,)).table("table")
        assert math.isnan(data.pairs[0].srocc.p) and not data.pairs[0].significant
        assert not [table for table in build_tables([data]) if "differ" in table.title]
        assert not dataclasses.replace(data, mos=None).pairs


def test_csv_is_the_frame_in_full_precision_with_comments(comparison: Comparison) -> None:
    text, frame = comparison.table("csv"), comparison.frame().replace("", math.nan)
    read = pandas.read_csv(io.StringIO(text), comment="#")
    pandas.testing.assert_frame_equal(read, frame, rtol=1e-15, check_dtype=False)
    comments = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    assert legend(comparison.data_sets)[0] in comments and "command: clipiqa compare -m <x>" in comments
    assert "sharp = metric: CLIP-IQA <RN50>, weights: seeded" in comments


def test_latex_tables_are_whole(comparison: Comparison) -> None:
    said = comparison.table("latex")
    assert said.count(r"\begin{table*}") == said.count(r"\end{table*}") == 7
    assert r"\textbf{1.000} {\scriptsize [1.000, 1.000]}" in said and "% A positive correlation is good" in said


def test_a_latex_table_has_a_short_caption_and_no_column_without_numbers() -> None:
    columns = (Column("method"), Column("niqe", "lower"), Column("musiq", "higher"))
    table = Table("2 methods", columns, ((Cell("a"), Cell("3.1", value=3.1), Cell("–")),), reading=("Means are bold.",))
    lines = latex_table(table).splitlines()
    assert r"\caption{2 methods.}\medskip" in lines and r"a & 3.1 \\" in lines
    assert lines[-3:-1] == [
        rf"\raggedright\footnotesize {note}\par" for note in ("Means are bold.", r"Without numbers: musiq $\uparrow$.")
    ]


@pytest.fixture(scope="module")
def close() -> DataSetResult:
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


class TestDifferences:
    def test_the_lowest_p_of_the_resamples_is_marked(self, close: DataSetResult) -> None:
        table = named(Comparison((close,)), "close: differences in SROCC")
        p = Comparison((close,)).differences()["p"]
        lowest = p == p.min()
        for row, is_lowest in zip(table.rows, lowest, strict=True):
            assert row[2].text.startswith("p =") != is_lowest
        assert any(lowest) and "2,400 resamples" in table.before[0]

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

    def test_many_pairs_have_enough_resamples_to_be_corrected(self) -> None:
        rng = np.random.default_rng(0)
        scores = pandas.DataFrame(rng.normal(size=(30, 12)), columns=[f"m{i}" for i in range(12)])
        metrics = {label: MetricResult(label) for label in scores}
        data = DataSetResult("x", scores, scores["m0"], metrics=metrics)
        assert sum(pair.significant for pair in data.pairs) == 11


@pytest.mark.parametrize(
    ("fit_parameters", "marks", "reason"),
    [(4, ["", "best"], None), (5, ["", ""], "its fitted curve is not monotonic")],
)
def test_no_winner_where_the_fitted_curve_turns(fit_parameters: int, marks: list[str], reason: str | None) -> None:
    x = np.linspace(-2, 2, 80)
    mos = pandas.Series(2 / (1 + np.exp(-8 * x)) - 0.6 * x)  # falls, rises in the middle, falls again
    scores = pandas.DataFrame({"line": mos + np.random.default_rng(0).normal(size=80), "turns": x})
    metrics = {label: MetricResult(label) for label in scores}
    options: dict[str, Any] = {"bootstrap": 0, "plcc_fit": True, "fit_parameters": fit_parameters}
    table = named(Comparison((DataSetResult("x", scores, mos, metrics=metrics, **options),)), "x")
    marked = {head: [row[i].mark for row in table.rows] for i, head in enumerate(table.heads)}
    assert marked["PLCC fitted"] == marked["RMSE fitted"] == marks and any(marked["SROCC"])
    assert table.reasons.get("turns") == reason


def test_save_writes_all_that_the_command_does(comparison: Comparison, tmp_path: Path) -> None:
    comparison.save(tmp_path, report=False)
    texts = {"comparison.csv", "comparison.md", "comparison.tex", "differences.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {*texts, "scores"}
    assert (tmp_path / "comparison.md").read_text(encoding="utf-8") == comparison.table("markdown")
    read = pandas.read_csv(tmp_path / "differences.csv", comment="#")
    pandas.testing.assert_frame_equal(read, comparison.differences(), rtol=1e-15, check_dtype=False)
    kept = pandas.read_parquet(tmp_path / "scores/graded.parquet")
    pandas.testing.assert_frame_equal(kept.drop(columns="mos"), comparison.data_sets[0].scores)
