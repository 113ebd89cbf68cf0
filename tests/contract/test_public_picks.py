"""Photos picked from score files of any tool: paths and tables, and what is gone or has changed."""

from pathlib import Path

import pandas
import pytest
from photos import photo_like, save_grey
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


def test_command_prints_paths_and_nothing_else(ranked, folder):
    worst = [str(folder / "photos" / name) for name in ("a/1.png", "b/4.png", "b/5 ü.png")]
    assert ranked("--worst 2 --paths", 1, "1 image left out", "'b/1.png'").out.splitlines() == worst[:2]
    said = ranked("--worst 2 --paths -0 --by niqe", 0).out  # which pyiqa knows as lower-better
    assert said.split("\0") == [*worst[::2], ""]


def test_options_that_do_not_go_together_are_named(clipiqa, folder):
    for options, named in {
        "": "no PATH",
        "scores.csv --paths": "--paths needs picked photos",
        "scores.csv --by MUS --worst 1": "'MOS'",
        "scores.csv --lower-better --higher-better": "exclude",
        "scores.csv --prompts quality": "--prompts",
        "photos --columns MOS": "--columns",
        "scores.csv --where MOS=3": "'quality >= 0.6'",
        "scores.csv --where 'mos > 0.3'": "'MOS'",
        "scores.csv --flagged": "holds no flags",
        "--unflagged scores.csv": "put paths first",
        "scores.csv --flagged --unflagged": "--flagged and --unflagged leave no photo",
        "scores.csv --unflagged --flagged 'almost black'": "leave no photo",
        "scores.csv --best 0%": "--best must be",
        "scores.csv --threads 2": "need images to score",
        "scores.csv --device cpu --page page": "need images to score",
    }.items():
        clipiqa(f"rank {options}", 2, named)


def test_picked_photos_that_are_all_gone_are_named_and_fail(clipiqa, ranked):
    """Paths are for a command that needs the photos; --root says where they lie."""
    clipiqa("rank scores.csv --by niqe --worst 2 --paths", 1, "2 picked photos gone: 'a/1.png', 'b/5 ü.png'")
    clipiqa("rank scores.csv --by niqe --worst 2 --root elsewhere", 1, "2 picked photos gone: 'elsewhere/a/1.png'")


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Six grey photos, and their scores with stamps."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    list(score_paths(["entropy"], "photos", out="scores.csv", device="cpu", workers=1))
    return tmp_path


def test_the_only_picked_photo_is_gone_though_others_are_there(clipiqa, scored):
    Path("photos/0.png").unlink()
    listed = clipiqa("rank scores.csv --worst 1", 1, "1 picked photo gone: 'photos/0.png'")
    assert "photos/0.png" in listed.out


def test_a_file_that_ends_inside_quotes_is_damaged(clipiqa, scored):
    Path("cut.csv").write_text('path,entropy,metric\nphotos/0.png,1,entropy\nphotos/1.png,2,"entropy, pyiqa')
    clipiqa("rank cut.csv --worst 1", 2, "'cut.csv' cannot be read as csv: unexpected end of data")


@pytest.mark.quick
def test_several_conditions_pick_together_and_shares_count_the_photos_that_meet_them(ranked, folder):
    def names(options, code=1):
        listed = ranked(f"{options} --paths", code).out.splitlines()
        return [str(Path(path).relative_to(folder / "photos")) for path in listed]

    assert names("--where 'MOS >= 0.2' 'niqe<=6'") == ["a/2.png", "a/0.png", "b/4.png"]  # the best first
    assert names("--where 'niqe >= 4' --best 1") == ["a/2.png"] and names("--where 'niqe >= 4' --worst 1") == [
        "a/1.png"
    ]
    assert names("--where 'niqe >= 4' --best 50%") == ["a/2.png", "b/5 ü.png"]  # half of the four that have both scores
    assert names("--by niqe --where 'niqe > 3' 'niqe < 7'", 0) == ["a/2.png", "b/1.png", "b/4.png"]
    assert names("--where 'MOS > 1e0'") == []


def test_a_photo_that_lacks_a_score_of_a_condition_is_named(ranked):
    ranked("--by niqe --best 2", 0)
    ranked("--by niqe --best 2 --where 'MOS >= 0'", 1, "1 image left out", "'b/1.png'")


def test_the_page_shows_the_photos_that_meet_the_conditions(ranked):
    ranked("--by niqe --where 'niqe <= 5' --page page", 0)
    assert "<h1>3 photos by niqe</h1>" in Path("page/ranking.html").read_text()


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
def test_flags_pick_photos_all_or_by_name(clipiqa, flagged):
    def names(options):
        return {Path(path).stem for path in clipiqa(f"rank scores.csv {options} --paths", 0).out.splitlines()}

    assert names("--flagged") == {"black", "white", "grey"} and names("--unflagged") == {"0", "1"}
    assert names("--flagged 'almost black' 'almost white'") == {"black", "white"}
    assert names("--unflagged 'almost white'") == {"0", "1", "black", "grey"}
    assert names("--flagged --unflagged 'almost black'") == {"white", "grey"}
    assert names("--unflagged --where 'width >= 49'") == set() and len(names("--unflagged --where 'width >= 48'")) == 2
    assert len(names("--unflagged --best 50%")) == 1
