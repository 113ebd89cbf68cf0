"""Files that a run did not make stay, whatever their names, also where it resumes; two runs do not mix."""

import pytest
from PIL import Image

from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.learning.word_search import Finding, Findings
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.stats.bootstrap import Estimate

STANDIN = {"STANDIN": "1"}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 40), (40 * number,) * 3).save(folder / f"{number}.png")
    return folder


def test_resume_without_a_run_replaces_no_file(forked, photos, tmp_path):
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
def test_of_two_runs_at_once_one_is_refused(forked, photos, tmp_path, command):
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


def test_a_search_does_not_replace_its_input(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("path,score\n")
    none = Finding((), 0.5, Estimate(0.5), 0.5)
    findings = Findings((), none, none, 3, 3, inputs=(table,))
    with pytest.raises(OutputError, match="inputs"):
        findings.save(table)
    assert table.read_text() == "path,score\n"
    findings.save(tmp_path / "pairs.csv")
