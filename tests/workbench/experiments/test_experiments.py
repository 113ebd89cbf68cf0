"""The experiments as functions: what they return and what they save."""

import json
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from assertions import refused
from inputs import write_votes
from metrics import Brightness
from photos import save_grey

from clipiqa_pyiqa import agreement, pairs, radar, rank, sweep


@pytest.fixture
def versions(tmp_path):
    """Dark and bright versions of three images, and votes for the bright ones."""
    for side, levels in {"low": (20, 60, 100), "high": (90, 130, 170)}.items():
        for number, level in enumerate(levels):
            save_grey(tmp_path / side / f"{number}.png", level)
    write_votes(tmp_path, *(f"quality,low/{number}.png,high/{number}.png,second" for number in range(3)))
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


SWEPT = {"sweep.csv", "spearman.csv", "sweep-photos.png", "sweep.png"}
EXPERIMENTS = {  # inputs, options, and the names of the results
    rank: (["low"], {}, {"ranking.csv", "rank-quality.png"}),
    radar: (["low"], {"prompts": ["happy", "new", "scary"]}, {"radar.png"}),
    sweep: (["low"], {"changes": "brightness", "steps": 3, "scales": [1]}, SWEPT),
    pairs: (["low", "high"], {}, {"pairs.csv", "pairs-quality.png"}),
    agreement: (["votes.csv"], {}, {"agreement.csv", "agreement.png"}),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_result_saves_itself_as_with_out(experiment, versions, monkeypatch):
    monkeypatch.chdir(versions)
    inputs, options, names = EXPERIMENTS[experiment]
    result = experiment(Brightness(), *inputs, **options)
    result.save("saved")
    saved = contents("saved")
    assert saved.keys() == {*names, "summary.json"}
    with_out = experiment(Brightness(), *inputs, **options, out="out")
    pd.testing.assert_frame_equal(result.summary(), with_out.summary())
    assert saved.items() <= contents("out").items()
    assert contents("out").keys() - saved.keys() == {"scores.csv", "scores.csv.provenance.json"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_progress_counts_each_image(experiment, versions, monkeypatch):
    monkeypatch.chdir(versions)
    inputs, options, _ = EXPERIMENTS[experiment]
    progress = mock.Mock()
    experiment(Brightness(), *inputs, **options, progress=progress)
    count = progress.call_count
    assert count > 0
    assert progress.call_args_list == [mock.call(done, count) for done in range(1, count + 1)]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_summary_is_in_the_report_and_in_a_file(experiment, versions, monkeypatch):
    monkeypatch.chdir(versions)
    inputs, options, _ = EXPERIMENTS[experiment]
    result = experiment(Brightness(), *inputs, **options, out="out")
    first_column = result.summary().columns[0]
    assert result.report().text("markdown").startswith(f"| {first_column} | ")
    assert f"{first_column} & " in result.report().text("latex")
    fields = json.loads(Path("out/summary.json").read_text())
    assert len(fields["summary"]) == len(result.summary())
    assert fields["provenance"]["metric"] == "brightness"


class Bright(Brightness):
    def __call__(self, x):
        return self.score(self.encode_image(x))


class Low:
    """A metric of any tool, whose scores are low for bright images."""

    lower_better = True
    score_range = (0, 2)

    def __init__(self, factor=2.0):
        self.factor = factor

    def __call__(self, x):
        return self.factor * (1 - x.mean())


def test_rank_takes_any_metric(versions):
    result = rank([Bright(), {"low": Low()}], versions / "low", ["quality"], count=1)
    best = result.summary().groupby("question").first()["path"]
    assert best.tolist() == [str(versions / "low/2.png")] * 2  # the low end of the second is the good one


def test_pairs_takes_any_metric(versions):
    result = pairs([Bright(), {"low": Low()}], versions / "low", versions / "high", ["quality"])
    table = result.summary().set_index("question")
    assert table["right"].to_dict() == {"quality": 3, "low": 3}
    assert table.loc["low", "mean difference"] < 0


def test_radar_takes_any_metric_with_a_closed_range(versions):
    result = radar([Bright(), {"low": Low()}], versions / "low", ["happy", "new"])
    assert result.charts == {"": ["happy", "new", "low"]}
    assert result.shares()["low"].tolist() == pytest.approx([20 / 255, 60 / 255, 100 / 255])
    refused(radar, [Bright(), {"open": lambda x: x.mean()}], versions / "low", ["happy", "new"])
