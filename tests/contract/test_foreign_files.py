"""Files that a run did not make stay, whatever their names, also where it resumes; two runs do not mix."""

import pandas
import pytest
from photos import save_grey


@pytest.fixture
def photos(tmp_path):
    for number in range(4):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number)
    return tmp_path / "photos"


def test_resume_without_a_run_replaces_no_file(clipiqa, photos, tmp_path):
    table = tmp_path / "mine/ranking.csv"
    table.parent.mkdir()
    table.write_text("mine")
    clipiqa("rank photos -b mini --out mine --resume", 2, "exists already")
    assert [path.read_text() for path in table.parent.iterdir()] == ["mine"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["rank photos -m entropy", "compare -d photos -m entropy --bootstrap 0"])
def test_of_two_runs_at_once_one_is_refused(forked, photos, tmp_path, command):
    """One writes all of it, the other is refused or comes after; never half of each."""
    given = f"{command} --resume --out out"
    jobs = [forked.start(given, tmp_path, err=f"err{number}") for number in (0, 1)]
    codes = sorted(job.wait() for job in jobs)
    said = "".join(job.err for job in jobs)
    assert codes in ([0, 0], [0, 2]) and ("is being written by" in said) == (2 in codes), said
    if command.startswith("rank"):
        assert len(pandas.read_csv(tmp_path / "out/scores.csv")) == 4
    else:
        assert len(list((tmp_path / "out/scores").iterdir())) == 1
