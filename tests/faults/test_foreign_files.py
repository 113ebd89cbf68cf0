"""Files that a run did not make stay, whatever their names, also where it resumes; two runs do not mix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from forked import Forked
from PIL import Image

from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.files.locking import locked
from clipiqa_pyiqa.learning.word_search import Findings
from clipiqa_pyiqa.scoring.result_files import read_results

STANDIN = {"STANDIN": "1"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 40), (40 * number,) * 3).save(folder / f"{number}.png")
    return folder


def test_a_run_that_resumes_nothing_replaces_nothing(forked: Forked, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    for name in ("ranking.csv", "summary.json"):
        (out / name).write_text("mine")
    job = forked.run(["rank", photos, "--out", out, "--resume"], tmp_path, variables=STANDIN)
    assert job.code == 2 and "exists already" in job.err
    assert {path.read_text() for path in out.iterdir()} == {"mine"}
    for path in out.iterdir():
        path.unlink()
    for more in ([], ["--resume"]):
        assert forked.run(["rank", photos, "--out", out, *more], tmp_path, variables=STANDIN).code == 0


def test_drawing_is_one_runs_at_a_time(forked: Forked, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "rank"
    assert forked.run(["rank", photos, "--out", out], tmp_path, variables=STANDIN).code == 0
    before = (out / "ranking.csv").stat().st_mtime_ns
    with locked(out):
        job = forked.run(["rank", photos, "--out", out, "--resume"], tmp_path, variables=STANDIN)
    assert job.code == 2 and "is being written by process" in job.err
    assert (out / "ranking.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize("command", ["rank", "compare"])
def test_two_runs_at_once(forked: Forked, photos: Path, tmp_path: Path, command: str) -> None:
    """One writes all of it, the other is refused or comes after; never half of each."""
    given = (
        [photos, "--resume"] if command == "rank" else ["-m", "entropy", "-d", photos, "--bootstrap", "0", "--resume"]
    )
    jobs = [forked.start([command, *given, "--out", "out"], tmp_path, err=f"err{n}", variables=STANDIN) for n in (0, 1)]
    codes = sorted(job.wait() for job in jobs)
    said = "".join(job.err for job in jobs)
    assert codes in ([0, 0], [0, 2]) and ("is being written by" in said) == (2 in codes), said
    if command == "rank":
        assert len(read_results(tmp_path / "out/scores.csv")[1]) == 4
    else:
        assert len(list((tmp_path / "out/scores").iterdir())) == 1


def test_a_search_does_not_replace_what_it_read(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("path,score\n")
    estimate = type("E", (), {"value": 0.5, "low": np.nan, "high": np.nan})()
    findings = Findings((), None, (), 0.5, estimate, 0.5, 3, 3, inputs=(table,))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="is one of the inputs"):
        findings.save(table)
    assert table.read_text() == "path,score\n"
    findings.save(tmp_path / "pairs.csv")
