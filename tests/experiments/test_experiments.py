"""The experiments as functions: what they return and what they save."""

import json
from unittest import mock

import pandas as pd
import pytest
from photos import save_grey
from standin import Brightness

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.experiments.attribute_sweep import sweep
from clipiqa_pyiqa.experiments.image_pairs import pairs
from clipiqa_pyiqa.experiments.radar_chart import radar
from clipiqa_pyiqa.experiments.user_agreement import agreement
from clipiqa_pyiqa.ranking.folder_ranking import rank


@pytest.fixture
def folder(tmp_path):
    for side, levels in (("low", (40, 60, 80)), ("high", (90, 120, 150))):
        for number, level in enumerate(levels):
            save_grey(tmp_path / f"photos/{side}/{number}.png", level)
    (tmp_path / "photos/votes.csv").write_text("attribute,first,second,choice\nhappy,low/0.png,high/0.png,second\n")
    return tmp_path / "photos"


EXPERIMENTS = {
    "rank": (lambda folder, **o: rank(Brightness(), folder, **o), {"ranking.csv", "rank-quality.png"}),
    "radar": (
        lambda folder, **o: radar(Brightness(), [folder], ["happy", "new", "scary"], **o),
        {"radar.png"},
    ),
    "sweep": (
        lambda folder, **o: sweep(Brightness(), folder / "low", changes="brightness", steps=3, scales=[1], **o),
        {"sweep.csv", "spearman.csv", "sweep.png"},
    ),
    "pairs": (
        lambda at, **o: pairs(Brightness(), at / "low", at / "high", **o),
        {"pairs.csv", "pairs-quality.png"},
    ),
    "agreement": (
        lambda folder, **o: agreement(Brightness(), folder / "votes.csv", **o),
        {"agreement.csv", "agreement.png"},
    ),
}


@pytest.mark.parametrize(("run", "names"), EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_result_saves_itself_as_with_out(run, names, folder, tmp_path):
    progress = mock.Mock()
    kept = run(folder, out=tmp_path / "kept", progress=progress)
    count = progress.call_count
    assert progress.call_args_list == [mock.call(done, count) for done in range(1, count + 1)]
    result = run(folder)
    result.save(tmp_path / "saved")
    with_out, saved = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("kept", "saved")
    )
    assert saved.keys() == {*names, "summary.json"} and saved.items() <= with_out.items()
    assert with_out.keys() - saved.keys() == {"scores.csv", "scores.csv.provenance.json"}
    pd.testing.assert_frame_equal(result.summary(), kept.summary())
    report, first = result.report(), result.summary().columns[0]
    assert report.text("markdown").startswith(f"| {first} | ") and rf"{first} & " in report.text("latex")
    said = json.loads((tmp_path / "saved/summary.json").read_text())
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


@pytest.fixture
def versions(tmp_path):
    """Dark and bright versions of three images, and votes for the bright ones."""
    for side, levels in {"low": (20, 60, 100), "high": (90, 130, 170)}.items():
        for number, level in enumerate(levels):
            save_grey(tmp_path / side / f"{number}.png", level)
    rows = [f"quality,low/{n}.png,high/{n}.png,second" for n in range(3)]
    (tmp_path / "votes.csv").write_text("\n".join(["attribute,first,second,choice", *rows]))
    return tmp_path


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
    with pytest.raises(CLIPIQAError):
        radar([Bright(), {"open": lambda x: x.mean()}], versions / "low", ["happy", "new"])


def test_the_commands_take_named_metrics_and_questions(versions, capsys, monkeypatch):
    monkeypatch.chdir(versions)
    for command in (
        "rank low",
        "pairs low high",
        "sweep low --changes contrast --steps 3 --scales 1",
        "agreement votes.csv",
    ):
        assert main([*command.split(), "-b", "mini", "-p", "quality", "-m", "entropy", "--device", "cpu", "-q"]) == 0
        said = capsys.readouterr().out
        assert "quality" in said and "entropy" in said
    assert main(["rank", "low", "-m", "entropy", "--worst", "1", "--paths", "-q"]) == 0
    assert capsys.readouterr().out.startswith("low/")
    (versions / "s.csv").write_text("path,x\nlow/0.png,1\n")
    assert main(["rank", "low", "-m", "s.csv:lower_better=true"]) == 2 and "in a file" in capsys.readouterr().err
