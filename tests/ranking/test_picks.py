"""Photos picked from score files of any tool."""

import pandas
import pytest
from photos import save_grey

VALUES = [0.4, 0.1, 0.8, None, 0.2, 0.6]


@pytest.fixture
def folder(tmp_path):
    """Six grey photos in two folders, two of one name, and their scores as another tool might write them."""
    names = ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/4.png", "b/5 ü.png"]
    for number, name in enumerate(names):
        save_grey(tmp_path / "photos" / name, 40 * number)
    frame = pandas.DataFrame({"Image Name": names, "MOS": VALUES, "niqe": [3, 9, 4, 5, 6, 7], "camera": list("xyxyxy")})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path


@pytest.fixture
def ranked(clipiqa, folder):
    return lambda options, *said: clipiqa(f"rank scores.csv --root {folder}/photos {options}", *said)


def test_command_prints_paths_and_nothing_else(ranked, folder):
    worst = [str(folder / "photos" / name) for name in ("a/1.png", "b/4.png", "b/5 ü.png")]
    assert ranked("--worst 2 --paths", 1, "1 image left out", "'b/1.png'").out.splitlines() == worst[:2]
    said = ranked("--worst 2 --paths -0 --by niqe", 0).out  # which pyiqa knows as lower-better
    assert said.split("\0") == [*worst[::2], ""]


def test_a_table_of_picked_photos_is_printed(ranked):
    title, heads, _, *rows = ranked("--below 0.3", 1, "1 image left out").out.splitlines()
    assert title.startswith("Picked 2 of ") and heads.split() == ["MOS", "niqe", "path"]
    assert [row.split()[::2] for row in rows] == [["0.1000", "a/1.png"], ["0.2000", "b/4.png"]]
    said = ranked("--by niqe --below 20%", 0).out  # the worst fifth
    assert said.splitlines()[3].split() == ["9.0000", "0.1000", "a/1.png"]
    ranked("--by niqe --best 3 --worst 4", 0, "overlap")


def test_options_that_do_not_go_together_are_named(clipiqa, folder):
    for options, named in {
        "": "no PATH",
        "scores.csv --paths": "no photo is picked",
        "scores.csv --worst 2 --copy-to a --move-to b": "--move-to",
        "scores.csv --by MUS --worst 1": "'MOS'",
        "scores.csv --lower-better --higher-better": "exclude",
        "scores.csv --prompts quality": "--prompts",
        "photos --columns MOS": "--columns",
        "--undo scores.csv": "undo list",
        "photos --undo .": "go with PATH",
    }.items():
        clipiqa(f"rank {options}", 2, named)
