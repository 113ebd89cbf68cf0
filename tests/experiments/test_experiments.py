"""The experiments as functions: what they return and what they save."""

import json
from unittest import mock

import pandas as pd
import pytest
from photos import save_grey
from standin import Brightness

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
