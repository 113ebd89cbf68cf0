"""Any tool's scores beside ours: in score, compare and table, without an image being read for them."""

import shutil
from pathlib import Path

import pandas
import pytest
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import table
from clipiqa_pyiqa.workbench.metrics.description import Takes
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics

OPTIONS = {"device": "cpu", "workers": 1}


def save_deqa(scores):
    rows = (f"/gpu/out/{n}.jpg,{score}\n" for n, score in enumerate(scores))
    Path("deqa.csv").write_text("file,score\n" + "".join(rows) + ",\n")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Six grey images, their opinions, and another tool's scores, which name them with other folders and suffixes."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    (tmp_path / "mos.csv").write_text("image,mos\n" + "".join(f"photos/{n}.png,{n}\n" for n in range(6)))
    save_deqa(range(9, 3, -1))
    return tmp_path


DEQA = "deqa=deqa.csv:lower_better=true"


def test_a_judge_of_another_environment_stands_in_a_table(photos):
    shutil.copytree("photos", "other")
    for name, value in {"ours": 2, "theirs": 1}.items():
        (photos / f"{name}.csv").write_text("file,niqe\n" + "".join(f"{n}.png,{value + n}\n" for n in range(6)))
    methods = {"ours": "photos", "theirs": "other"}
    found = table(methods, ["entropy", "judge={method}.csv:column=niqe"], out="out", **OPTIONS)
    assert [found.mean("", "judge", method) for method in methods] == [4.5, 3.5] and found.is_complete
    assert found.cells.xs("judge", level="metric")["rank"].tolist() == [2, 1]  # low is good, as niqe's name tells
    assert "{method}.csv" in found.describe() and pandas.read_csv("out/images.csv")["judge"].notna().all()


def test_two_scores_of_an_image_are_refused(photos):
    with (photos / "deqa.csv").open("a") as file:
        file.write("/gpu/out/3.jpg,1\n")
    assert "3.jpg" in refused(parse_metrics, DEQA, also=(Takes.NAME,))
