"""Files that a run did not make stay, whatever their names, also where it resumes; two runs do not mix."""

from __future__ import annotations

from pathlib import Path

import pytest
from forked import Forked
from PIL import Image

from clipiqa_pyiqa.scoring.result_files import read_results

STANDIN = {"STANDIN": "1"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 40), (40 * number,) * 3).save(folder / f"{number}.png")
    return folder


def test_resume_without_a_run_replaces_no_file(forked: Forked, photos: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("command", ["rank", "compare"])
def test_of_two_runs_at_once_one_is_refused(forked: Forked, photos: Path, tmp_path: Path, command: str) -> None:
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
