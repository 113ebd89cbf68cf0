"""The experiments as functions: what they return and what they save."""

import json
from functools import partial
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from photos import save_grey
from refusal import refused
from standin import Brightness

from clipiqa_pyiqa import agreement, pairs, radar, rank, sweep


@pytest.fixture
def versions(tmp_path):
    """Dark and bright versions of three images, and votes for the bright ones."""
    for side, levels in {"low": (20, 60, 100), "high": (90, 130, 170)}.items():
        for number, level in enumerate(levels):
            save_grey(tmp_path / side / f"{number}.png", level)
    rows = [f"quality,low/{n}.png,high/{n}.png,second" for n in range(3)]
    (tmp_path / "votes.csv").write_text("\n".join(["attribute,first,second,choice", *rows]))
    return tmp_path


EXPERIMENTS = {
    rank: (["low"], {}, {"ranking.csv", "rank-quality.png"}),
    radar: (["low"], {"prompts": ["happy", "new", "scary"]}, {"radar.png"}),
    sweep: (["low"], {"changes": "brightness", "steps": 3, "scales": [1]}, {"sweep.csv", "spearman.csv", "sweep.png"}),
    pairs: (["low", "high"], {}, {"pairs.csv", "pairs-quality.png"}),
    agreement: (["votes.csv"], {}, {"agreement.csv", "agreement.png"}),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_result_saves_itself_as_with_out(experiment, versions, monkeypatch):
    monkeypatch.chdir(versions)
    given, options, names = EXPERIMENTS[experiment]
    run = partial(experiment, Brightness(), *given, **options)
    progress = mock.Mock()
    kept = run(out="kept", progress=progress)
    count = progress.call_count
    assert progress.call_args_list == [mock.call(done, count) for done in range(1, count + 1)]
    result = run()
    result.save("saved")
    with_out, saved = ({path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("kept", "saved"))
    assert saved.keys() == {*names, "summary.json"} and saved.items() <= with_out.items()
    assert with_out.keys() - saved.keys() == {"scores.csv", "scores.csv.provenance.json"}
    pd.testing.assert_frame_equal(result.summary(), kept.summary())
    report, first = result.report(), result.summary().columns[0]
    assert report.text("markdown").startswith(f"| {first} | ") and rf"{first} & " in report.text("latex")
    said = json.loads(Path("saved/summary.json").read_text())
    assert len(said["summary"]) == len(result.summary()) and said["provenance"]["metric"] == "brightness"


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


def test_any_metric_may_stand_in_an_experiment(versions):
    metrics = [Bright(), {"low": Low()}]
    found = rank(metrics, versions / "low", ["quality"], count=1)
    best = found.summary().groupby("question").first()["path"]
    assert best.tolist() == [str(versions / "low/2.png")] * 2  # the low end of the second is the good one
    found = pairs(metrics, versions / "low", versions / "high", ["quality"]).summary().set_index("question")
    assert found["right"].to_dict() == {"quality": 3, "low": 3} and found.loc["low", "mean difference"] < 0
    found = agreement(["entropy", {"low": Low()}], versions / "votes.csv").summary().set_index("attribute")
    assert found["majority accuracy"].to_dict() == {"quality, entropy": 0, "quality, low": 1, "all": 0.5}
    found = sweep({"low": Low()}, versions / "low", changes="brightness", steps=3, scales=[1]).summary().iloc[0]
    assert (found["score"], found["mean Spearman"]) == ("low", -1)
    charts = radar([Bright(), {"low": Low()}], versions / "low", ["happy", "new"])
    assert charts.charts == {"": ["happy", "new", "low"]}
    assert charts.shares()["low"].tolist() == pytest.approx([20 / 255, 60 / 255, 100 / 255])
    refused(radar, [Bright(), {"open": lambda x: x.mean()}], versions / "low", ["happy", "new"])


def test_the_commands_take_named_metrics_and_questions(clipiqa, versions):
    for command in (
        "rank low",
        "pairs low high",
        "sweep low --changes contrast --steps 3 --scales 1",
        "agreement votes.csv",
    ):
        said = clipiqa(f"{command} -b mini -p quality -m entropy --device cpu -q", 0).out
        assert "quality" in said and "entropy" in said
    assert clipiqa("rank low -m entropy --worst 1 --paths -q", 0).out.startswith("low/")
    (versions / "s.csv").write_text("path,x\nlow/0.png,1\n")
    clipiqa("rank low -m s.csv:lower_better=true", 2, "in a file")
