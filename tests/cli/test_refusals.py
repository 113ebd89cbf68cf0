"""Commands that would do something else than what was meant: refused in a sentence that names what to do."""

from pathlib import Path

import pytest
from photos import save_grey
from refusal import refused

from clipiqa_pyiqa.datasets.score_table import read_score_table
from clipiqa_pyiqa.files.folders import check_folder

pytestmark = pytest.mark.quick


@pytest.fixture
def said(clipiqa):
    """What a refused command says, beside s.csv."""
    Path("s.csv").write_text("path,score\na.png,1\nb.png,2\nc.png,3\n")
    return lambda command: clipiqa(command, 2).err


def test_a_folder_is_not_called_like_a_file(said, tmp_path):
    save_grey(tmp_path / "a.png", 9)
    for name in ("ranked.csv", "out.json"):
        for command in ("rank a.png", "gate s.csv s.csv"):
            assert "is not a folder" in said(f"{command} --out {name}") and not Path(name).exists()
    Path("of.csv").mkdir()
    assert check_folder("of.csv").is_dir()


def test_what_is_missing_is_said_to_be_missing(said):
    assert "does not exist" in said("gate s.csv missing")
    assert "--metrics" in said("gate s.csv s.csv --max-side 64")


def test_options_are_not_abbreviated_and_names_are_proposed(said):
    for command, named in {
        "rank s.csv --worst 1 --pag r3": "'--page'",
        "rank p --wurst=3": "'--worst'",
        "rank p --best x": "--best must",  # before a photo is looked for
        "scor s.csv": "'score'",
    }.items():
        assert named in (line := said(command)) and line.count("\n") == 1


def test_bounds_that_exclude_each_other(said, clipiqa):
    for bounds in ("--above 3 --below 2", "--above 1 --below 2 --lower-better"):
        assert "leave no image" in said(f"rank s.csv --paths {bounds}")
    assert clipiqa("rank s.csv --above 9 --paths", 0, "no photo").out == ""
    refused(read_score_table, "s.csv", score_range=(5, 1))
