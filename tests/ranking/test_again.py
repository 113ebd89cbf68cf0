"""A second run over a folder in which an earlier run wrote: its own files are no photos."""

from pathlib import Path

import pytest
from photos import save_corrupt, save_exposures, save_grey, write_scores

from clipiqa_pyiqa import CLIPIQA, draw_maps
from clipiqa_pyiqa.files.journal import Journal
from clipiqa_pyiqa.files.writing import check_folder
from clipiqa_pyiqa.sources.finding import find_inputs

pytestmark = pytest.mark.quick


@pytest.fixture
def photos(tmp_path):
    for number in range(10):
        save_grey(tmp_path / f"p/{number}.png", 20 * number + 10)
    write_scores(tmp_path / "s.csv", [f"p/{number}.png" for number in range(10)])
    return tmp_path / "p"


@pytest.fixture
def rank(clipiqa, photos):
    return lambda options, *said: clipiqa(f"rank s.csv --root {photos.parent} {options}", *said)


def found(folder):
    return {Path(path).relative_to(folder).as_posix() for path in find_inputs(folder)}


@pytest.mark.parametrize("action", ["--move-to", "--copy-to", "--link-to"])
def test_picked_photos_are_no_inputs_unless_their_folder_is_named(rank, clipiqa, photos, action):
    rank(f"--worst 20% --best 1 {action} {photos}/out", 0)
    save_grey(photos / "out/own.png", 7)
    clipiqa(f"score {photos} -b mini", 0, "3 files")
    left = {"0.png", "1.png", "9.png"} if action == "--move-to" else set()
    before, photos = photos, photos.rename(photos.parent / "renamed")
    assert found(photos) == {f"{number}.png" for number in range(10)} - left | {"out/own.png"}
    assert found(photos / "out") == {"own.png", "worst/0.png", "worst/1.png", "best/9.png"}
    assert len(found(photos / "out/worst")) == 2
    if action != "--link-to":
        clipiqa(f"rank --undo {photos}/out", 1, "0 files undone", str(before), "2 more")
        assert len(found(photos / "out")) == 4


def test_worst_twice_moves_other_photos_the_second_time(clipiqa, photos):
    asked = f"rank {photos} -b mini -p brightness --out scores --worst 20% --move-to {photos}/out"
    Journal(check_folder(photos / "out") / "other.jsonl", [{"head": {}}]).close()  # no undo list
    clipiqa(asked, 0)
    clipiqa(f"{asked} --resume", 0)
    assert {path.name for path in (photos / "out").glob("*.png")} == {"0.png", "1.png", "2.png"}
    save_corrupt(photos / "0.png")
    clipiqa(f"{asked} --resume", 1, "0.png")
    (photos / "9.png").unlink()
    (photos / "0.png").unlink()
    clipiqa(f"{asked} --resume", 1, "9.png")


@pytest.mark.parametrize("place", ["p", "p/page"])
def test_thumbnails_of_a_page_are_no_photos(clipiqa, photos, place):
    """The page lies in the folder of photos; each of two runs counts the ten photos."""
    for _ in range(2):
        clipiqa(f"rank p -b mini --best 10 --page {place}", 0, out="Best 10 of 10")
    assert len(list(photos.rglob(".thumbnails/*/*.jpg"))) == 10


def test_our_pictures_are_no_photos(clipiqa, photos, tmp_path):
    clipiqa(f"rank {photos} -b mini --out {photos}/rk", 0)
    clipiqa(f"radar {photos}/1.png -b mini --out {photos}/radar", 0)
    save_exposures(tmp_path / "large")
    draw_maps(CLIPIQA(backbone="mini"), sorted((tmp_path / "large").iterdir())[:1], out=photos / "maps")
    assert len(list(photos.rglob("*.png"))) == 13 and len(found(photos)) == 10
    clipiqa(f"rank {photos}/rk -b mini", 2, "clipiqa made")


def test_undo_takes_the_newest_list_of_a_folder(rank, clipiqa, photos):
    out = photos / "out"
    for number in (1, 2):
        rank(f"--worst 1 --move-to {out}", 0)
        write_scores("s.csv", [f"p/{each}.png" for each in range(number, 10)])
    for left in (["0.png"], []):
        clipiqa(f"rank --undo {out}", 0)
        assert [path.name for path in out.glob("*.png")] == left
    clipiqa(f"rank --undo {out}", 2)


def test_a_photo_counts_once(clipiqa, photos):
    said = clipiqa("rank 'p/*.png' p/0.png ./p/0.png -b mini --above 0 --paths", 0).out
    assert sorted(said.split()) == [f"p/{number}.png" for number in range(10)]
    for again in ("./p/0.png", photos / "0.png"):
        (photos.parent / "s.csv").write_text(f"path,score\np/0.png,3\n{again},8\n")
        clipiqa("rank s.csv --best 1 --copy-to best", 2, "p/0.png")


def test_missing_photos_can_be_left_out(rank, photos, tmp_path):
    (photos / "1.png").unlink()
    rank("--best 3", 0)
    rank("--worst 3", 1, "1 picked photo", "1.png")
    asked = f"--worst 3 --copy-to {tmp_path}/out"
    rank(asked, 2)
    assert not list((tmp_path / "out").glob("*.png"))
    ran = rank(f"{asked} --skip-missing", 0)
    assert "1.png" in ran.err.splitlines()[-2]
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"0.png", "2.png"}
