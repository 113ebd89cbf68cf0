"""The experiments as functions: what they return and what they save."""

import pytest
from inputs import write_votes
from photos import save_grey

from clipiqa_pyiqa import agreement, sweep


@pytest.fixture
def versions(tmp_path):
    """Dark and bright versions of three images, and votes for the bright ones."""
    for side, levels in {"low": (20, 60, 100), "high": (90, 130, 170)}.items():
        for number, level in enumerate(levels):
            save_grey(tmp_path / side / f"{number}.png", level)
    write_votes(tmp_path, *(f"quality,low/{number}.png,high/{number}.png,second" for number in range(3)))
    return tmp_path


class Low:
    """A metric of any tool, whose scores are low for bright images."""

    lower_better = True
    score_range = (0, 2)

    def __init__(self, factor=2.0):
        self.factor = factor

    def __call__(self, x):
        return self.factor * (1 - x.mean())


def test_agreement_takes_any_metric(versions):
    result = agreement(["entropy", {"low": Low()}], versions / "votes.csv")
    table = result.summary().set_index(["question", "attribute"])
    assert table["majority accuracy"].to_dict() == {("entropy", "quality"): 0, ("low", "quality"): 1}


def test_sweep_takes_any_metric(versions):
    result = sweep({"low": Low()}, versions / "low", changes="brightness", steps=3, scales=[1])
    (row,) = result.summary().to_dict(orient="records")
    assert (row["score"], row["mean Spearman"]) == ("low", -1)


@pytest.mark.slow
def test_the_commands_take_named_metrics_and_questions(clipiqa, versions):
    for command in (
        "rank low",
        "pairs low high",
        "sweep low --changes contrast --steps 3 --scales 1",
        "agreement votes.csv",
    ):
        printed = clipiqa(f"{command} -b mini -p quality -m entropy --device cpu -q", 0).out
        assert "quality" in printed and "entropy" in printed
    assert clipiqa("rank low -m entropy --worst 1 --paths -q", 0).out.startswith("low/")
    (versions / "s.csv").write_text("path,x\nlow/0.png,1\n")
    clipiqa("rank low -m s.csv:lower_better=true", 2, "in a file")
