"""Scores and opinions in CSV files are compared without any image."""

import numpy as np
import pandas
import pytest
from assertions import refused
from scipy import stats

from clipiqa_pyiqa import compare


@pytest.fixture
def alone(tmp_path):
    """A CSV file of opinions and of two tools' scores, of images that are not here."""
    generator = np.random.default_rng(0)
    opinions = np.linspace(1, 5, 30)
    table = pandas.DataFrame(
        {
            "image": [f"photos/{number}.png" for number in range(30)],
            "mos": opinions,
            "niqe": 9 - opinions + generator.normal(size=30),
            "judge": opinions + generator.normal(size=30),
        }
    )
    table.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path / "all.csv"


METRICS = "-m niqe=all.csv judge=all.csv:lower_better=false"


def test_a_file_of_scores_and_opinions_is_compared_without_images(clipiqa, alone, tmp_path):
    clipiqa(
        f"compare {METRICS} -d all.csv --out out", 0, out="30 images; no image was read, as all scores are in files"
    )
    rows = pandas.read_csv(tmp_path / "out/comparison.csv").set_index("metric")
    table = pandas.read_csv(alone)
    expected = [-stats.spearmanr(table["niqe"], table["mos"])[0], stats.spearmanr(table["judge"], table["mos"])[0]]
    assert rows.loc[["niqe", "judge"], "SROCC"].tolist() == pytest.approx(expected)
    assert len(pandas.read_csv(tmp_path / "out/differences.csv")) == 3
    page = (tmp_path / "out/report.html").read_text()
    assert "Ranked too high" in page and "cannot be read" not in page and "<img" not in page


@pytest.mark.slow
def test_rows_that_the_file_no_longer_has_are_no_loss(clipiqa, alone):
    clipiqa(f"compare {METRICS} -d all.csv --out out", 0)
    lines = alone.read_text().splitlines()
    alone.write_text("\n".join(lines[:-2]))
    clipiqa(f"compare {METRICS} -d all.csv --out out --resume", 0, out="28 images")


def test_a_metric_that_reads_images_needs_them_and_a_size_limit_needs_such_a_metric(alone):
    assert "root=DIR" in refused(compare, ["mini", f"niqe={alone}"], alone, device="cpu")
    assert "max_side" in refused(compare, f"niqe={alone}", alone, max_side=64, device="cpu")
