"""Commands that would do something else than what was meant: refused in a sentence that names what to do."""

import pytest
from photos import save_grey

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.datasets.score_table import read_score_table
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.files.writing import check_folder
from clipiqa_pyiqa.results.choosing import choose

pytestmark = pytest.mark.quick


def said(capsys, *command, code=2):
    try:
        assert main([str(word) for word in command]) == code
    except SystemExit as ended:
        assert ended.code == code
    return capsys.readouterr().err


@pytest.fixture
def scores(tmp_path):
    (tmp_path / "s.csv").write_text("path,score\na.png,1\nb.png,2\nc.png,3\n")
    return tmp_path / "s.csv"


def test_a_folder_is_not_called_like_a_file(tmp_path, scores, capsys):
    for name in ("ranked.csv", "out.json"):
        assert "is not a folder" in said(capsys, "rank", save_grey(tmp_path / "a.png", 9), "--out", tmp_path / name)
        assert "is not a folder" in said(capsys, "gate", scores, scores, "--out", tmp_path / name)
        assert not (tmp_path / name).exists()
    (tmp_path / "of.csv").mkdir()
    assert check_folder(tmp_path / "of.csv").is_dir()


def test_what_is_missing_is_said_to_be_missing(tmp_path, scores, capsys):
    assert "does not exist" in said(capsys, "gate", scores, tmp_path / "missing")
    assert "--metrics" in said(capsys, "gate", scores, scores, "--max-side", "64")
    assert "no results by shard" in said(capsys, "rank", scores, "--worst", "1", "--write-shards", tmp_path / "kept")


def test_options_are_not_abbreviated_and_commands_are_proposed(scores, capsys):
    assert "--move" in said(capsys, "rank", scores, "--worst", "1", "--move", "r3")
    assert "'score'" in said(capsys, "scor", scores)


def test_bounds_that_exclude_each_other(scores, capsys):
    for lower_better, above, below in ((False, 3, 2), (True, 1, 2)):
        cuts = {"above": above, "below": below}
        with pytest.raises(CLIPIQAError):
            choose(["a", "b", "c"], [1, 2, 3], lower_better, cuts)
        cuts = {"above": below, "below": above}
        assert len(choose(["a", "b", "c"], [1, 2, 3], lower_better, cuts)[0]) == 1
    assert "no photo" in said(capsys, "rank", scores, "--above", "9", "--move-to", scores.parent / "out", code=0)
    assert not (scores.parent / "out").exists()
    with pytest.raises(CLIPIQAError):
        read_score_table(scores, score_range=(5, 1))
