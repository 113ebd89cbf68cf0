"""Photos picked from score files of any tool: paths and tables, and what is gone or has changed."""

from pathlib import Path

import pandas
import pytest
from photos import photo_like, save_corrupt, save_grey
from torchvision.transforms.functional import to_pil_image

from clipiqa_pyiqa import score_paths

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


def test_a_table_of_picked_photos_is_printed(ranked):
    title, heads, _, *rows = ranked("--below 0.3", 1, "1 image left out").out.splitlines()
    assert title.startswith("Picked 2 of ") and heads.split() == ["MOS", "niqe", "path"]
    assert [row.split()[::2] for row in rows] == [["0.1000", "a/1.png"], ["0.2000", "b/4.png"]]
    said = ranked("--by niqe --below 20%", 0).out  # the worst fifth
    assert said.splitlines()[3].split() == ["9.0000", "0.1000", "a/1.png"]
    ranked("--by niqe --best 3 --worst 4", 0, "overlap")


# What is gone, and what has changed


def test_missing_photos_are_named_and_can_be_left_out(ranked, folder):
    (folder / "photos/a/1.png").unlink()
    kept = [str(folder / "photos" / name) for name in ("b/5 ü.png", "b/4.png")]
    ranked("--by niqe --best 3", 0)
    listed = ranked("--by niqe --worst 3 --paths", 1, "1 picked photo", "a/1.png").out.splitlines()
    assert listed == [str(folder / "photos/a/1.png"), *kept]
    said = ranked("--by niqe --worst 3 --paths --skip-missing", 0, "1 picked photo", "a/1.png")
    assert said.out.splitlines() == kept
    table = ranked("--by niqe --worst 3 --skip-missing", 0).out
    assert table.startswith("Worst 2 of 6") and "a/1.png" not in table
    ranked("--by niqe --worst 2 --skip-missing --page page", 0)
    assert "<h1>1 photo by niqe</h1>" in Path("page/ranking.html").read_text()


def test_a_table_of_photos_that_are_elsewhere_is_no_failure(clipiqa, folder):
    clipiqa("rank scores.csv --by niqe --worst 2", 0, out="Worst 2 of 6")
    said = clipiqa("rank scores.csv --by niqe --worst 2 --paths --skip-missing", 0, "2 picked photos gone", "no photo")
    assert said.out == ""


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Six grey photos, and their scores with stamps."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    list(score_paths(["entropy"], "photos", out="scores.csv", device="cpu", workers=1))
    return tmp_path


@pytest.mark.parametrize("option", ["--worst 6 --paths", "--page page", "--worst 6 --page page", "--worst 6", ""])
def test_a_photo_replaced_since_it_was_scored_is_not_picked_or_shown(clipiqa, scored, option):
    save_grey(scored / "photos/0.png", 200, size=(70, 50))
    said = clipiqa(f"rank scores.csv {option}", 2, "0.png", "--despite-changes")
    assert not said.out and not (scored / "page").exists()
    clipiqa(f"rank scores.csv --despite-changes {option}", 0, "entropy: higher is better")


# Conditions


@pytest.fixture
def flagged(tmp_path, monkeypatch):
    """Three photos with flags and two without, and their scores."""
    monkeypatch.chdir(tmp_path)
    for name, level in (("black", 1), ("white", 254), ("grey", 128)):
        save_grey(Path(f"photos/{name}.png"), level)
    for number, photo in enumerate(photo_like(40, 48, 2)):
        to_pil_image(photo).save(f"photos/{number}.png")
    list(score_paths(["entropy"], "photos", out="scores.csv", device="cpu", workers=1))
    return tmp_path


@pytest.mark.quick
def test_a_photo_that_nobody_can_read_does_not_decide_how_later_commands_end(clipiqa, flagged):
    save_corrupt(flagged / "photos/half.png")
    clipiqa("score photos -m entropy --out scores.csv --resume", 1, "half.png")
    clipiqa("rank scores.csv --best 2 --paths", 0, "half.png")
    clipiqa("rank photos -m entropy --best 2 --paths", 1, "half.png")  # scores the photos: one fails
    clipiqa("rank photos -m entropy --best 2 --paths --skip-missing", 0, "half.png")


def test_what_skip_missing_leaves_out_does_not_decide_how_the_command_ends(ranked):
    ranked("--worst 2", 1, "1 image left out")
    ranked("--worst 2 --skip-missing", 0, "1 image left out")
