"""What goes along with a photo, and what does not; links and odd names."""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from photos import save_grey, write_scores

from clipiqa_pyiqa.ranking.transfers import transfer, undo
from clipiqa_pyiqa.sources.finding import find_inputs


@pytest.fixture
def camera(tmp_path):
    """A camera's folder: photos with raw files and sidecars."""
    for number in range(4):
        save_grey(tmp_path / f"camera/IMG_{number}.JPG", 40 * number)
    for name in ("IMG_0.xmp", "IMG_0.CR3", "IMG_0.CR3.xmp", "img_0.jpg.XMP", "IMG_0.txt", "IMG_00.xmp", "IMG_1.xmp"):
        (tmp_path / "camera" / name).write_text(name)
    save_grey(tmp_path / "camera/IMG_1.png", 9)
    return tmp_path / "camera"


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".jsonl")


@pytest.mark.parametrize("action", ["move", "copy", "link"])
def test_raw_and_sidecars_go_along_and_come_back(camera, tmp_path, action):
    before = names(camera)
    done, undo_list, _ = transfer([str(camera / "IMG_0.JPG")], tmp_path / "out", action)
    family = ["IMG_0.CR3", "IMG_0.CR3.xmp", "IMG_0.JPG", "IMG_0.jpg.XMP", "IMG_0.xmp"]
    assert names(tmp_path / "out") == family and len(done) == 5
    if action != "move":  # again, with another photo of this name
        photos = [str(camera / "IMG_0.JPG"), str(save_grey(tmp_path / "other/IMG_0.JPG", 2))]
        (added,), more, there = transfer(photos, tmp_path / "out", action)
        assert Path(added).name == "IMG_0-2.JPG" and there == 1
        assert transfer(photos, tmp_path / "out", action)[::2] == ([], 2)
        (tmp_path / "other/IMG_0.xmp").write_text("of a later day")
        (added,), latest, there = transfer(photos, tmp_path / "out", action)
        assert Path(added).name == "IMG_0-2.xmp" and there == 2 and undo(latest) == (1, [])
        assert undo(more) == (1, []) and len(list((tmp_path / "out").iterdir())) == 6
    assert names(camera) == (before if action != "move" else sorted({*before} - {*family, "img_0.jpg.XMP"}))
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    raw = (moved / "IMG_0.CR3").rename(tmp_path / "sorted by hand")
    back, problems = undo(moved / undo_list.name)
    assert back == 4 and len(problems) == 1
    raw.rename(moved / "IMG_0.CR3")
    assert undo(moved / undo_list.name) == (1, []) and names(camera) == before and not names(moved)
    (moved / "IMG_2.JPG").touch()
    (moved / "IMG_3.JPG").symlink_to(camera / "IMG_3.JPG")
    done, _, there = transfer([str(camera / f"IMG_{number}.JPG") for number in (2, 3)], moved, action)
    assert (len(done), there) == ((1, 1) if action == "link" else (2, 0))


def test_a_shared_sidecar_stays_until_the_last_photo_goes(camera, tmp_path):
    transfer([str(camera / "IMG_1.JPG")], tmp_path / "one", "move")
    assert names(tmp_path / "one") == ["IMG_1.JPG"] and (camera / "IMG_1.xmp").exists()
    transfer([str(camera / "IMG_1.png")], tmp_path / "two", "move")
    assert names(tmp_path / "two") == ["IMG_1.png", "IMG_1.xmp"]


def test_two_photos_of_a_name_in_two_folders_share_what_belongs_to_them(camera, tmp_path):
    (camera / "IMG_1.CR3").write_text("raw")
    parts = {"best": [str(camera / "IMG_1.JPG")], "worst": [str(camera / "IMG_1.png")]}
    transfer(parts, tmp_path / "out", "move")
    assert names(tmp_path / "out/best") == ["IMG_1.CR3", "IMG_1.JPG", "IMG_1.xmp"]
    assert names(tmp_path / "out/worst") == ["IMG_1.png"]


@pytest.mark.parametrize("action", ["move", "copy", "link"])
def test_photos_whose_names_differ_only_in_case_have_files_of_their_own(camera, tmp_path, action):
    lower = str(save_grey(camera / "img_2.jpg", 7))
    for name in ("IMG_2.CR3", "IMG_2.JPG.xmp"):
        (camera / name).write_text(name)
    _, undo_list, _ = transfer([lower], tmp_path / "one", action)
    assert names(tmp_path / "one") == ["img_2.jpg"] and undo(undo_list) == (1, [])
    done, undo_list, _ = transfer([str(camera / "IMG_2.JPG"), lower], tmp_path / "two", action)
    assert [Path(path).name for path in done] == ["IMG_2.JPG", "IMG_2.CR3", "IMG_2.JPG.xmp", "img_2-2.jpg"]
    assert len(names(tmp_path / "two")) == 4 and undo(undo_list) == (4, []) and len(names(camera)) == 15


def test_a_family_takes_one_number_and_nothing_is_replaced(camera, tmp_path):
    mine, other = save_grey(tmp_path / "out/IMG_0.JPG", 1), save_grey(tmp_path / "other/IMG_0.JPG", 2)
    before = mine.read_bytes()
    (orphan := tmp_path / "out/IMG_3.jpg.XMP").write_text("of a photo that is gone")
    (camera / "IMG_3.JPG.xmp").write_text("another's")
    transfer([str(camera / "IMG_0.JPG"), str(other)], tmp_path / "out", "move")
    transfer([str(camera / "IMG_3.JPG")], tmp_path / "out", "move")
    moved = ["IMG_0-2.CR3", "IMG_0-2.CR3.xmp", "IMG_0-2.JPG", "IMG_0-2.jpg.XMP", "IMG_0-2.xmp"]
    moved += ["IMG_0-3.JPG", "IMG_0.JPG", "IMG_3-2.JPG", "IMG_3-2.JPG.xmp", orphan.name]
    assert names(tmp_path / "out") == sorted(moved) and mine.read_bytes() == before


def test_only_photos_leaves_the_rest(camera, tmp_path):
    transfer([str(camera / "IMG_0.JPG")], tmp_path / "out", "move", only_photos=True)
    assert names(tmp_path / "out") == ["IMG_0.JPG"]


def test_best_and_worst_go_to_folders_of_their_own(clipiqa, camera, tmp_path):
    write_scores("s.csv", [f"{camera}/IMG_{n}.JPG" for n in range(4)])
    command = f"rank {tmp_path}/s.csv --worst 25% --best 2 --move-to {tmp_path}/out"
    said = clipiqa(command, 0, "3 photos", "4 RAW or XMP files")
    assert said.out == ""
    assert len(names(tmp_path / "out/worst")) == 5 and names(tmp_path / "out/best") == ["IMG_2.JPG", "IMG_3.JPG"]
    clipiqa("rank " + re.search("--undo '.+'", said.err)[0], 0)
    assert (camera / "IMG_3.JPG").is_file()


def test_a_relative_link_still_leads_to_its_file(tmp_path):
    save_grey(tmp_path / "store/0.png", 9)
    (tmp_path / "album").mkdir()
    (link := tmp_path / "album/a.png").symlink_to("../store/0.png")
    (place,), undo_list, _ = transfer([str(link)], tmp_path / "deep/er", "move")
    assert Path(place).is_symlink() and Path(place).resolve() == tmp_path / "store/0.png" and not link.is_symlink()
    assert undo(undo_list) == (1, []) and os.readlink(link) == "../store/0.png"


def test_undo_keeps_the_last_copy(tmp_path):
    photo = save_grey(tmp_path / "a.png", 9)
    (place,), undo_list, _ = transfer([str(photo)], tmp_path / "out", "copy")
    photo.unlink()
    assert undo(undo_list)[0] == 0
    photo.symlink_to(place)  # as programs do that look for duplicates
    assert undo(undo_list)[0] == 0 and Path(place).is_file()


def test_a_name_that_is_no_text_is_moved_with_the_others(clipiqa, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    save_grey(tmp_path / "a.png", 9).rename(odd)
    save_grey(tmp_path / "b.png", 90)
    clipiqa(f"score {tmp_path} -b mini -q --out {tmp_path}/s.csv", 0)
    clipiqa(f"rank {tmp_path}/s.csv --worst 2 --move-to {tmp_path}/out", 0)
    assert not os.path.exists(odd) and len(names(tmp_path / "out")) == 2


def test_raw_files_without_a_jpeg_are_read_or_counted(clipiqa, camera, monkeypatch):
    (camera / "IMG_7.CR3").write_text("a RAW file without a JPEG, unlike IMG_0.CR3")
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (camera / "clip.mp4").write_text("a video, which has no place among photos")
    clipiqa(f"rank {camera} -b mini", 0, "2 skipped: 1 .cr3, 1 .mp4; install clipiqa-pyiqa[raw]")
    monkeypatch.setitem(sys.modules, "rawpy", SimpleNamespace(__spec__="is there"))
    assert [os.path.basename(path) for path in find_inputs(camera)] == [
        *("IMG_0.JPG", "IMG_1.JPG", "IMG_1.png", "IMG_2.JPG", "IMG_3.JPG", "IMG_7.CR3")
    ]
    transfer([str(camera / "IMG_0.JPG"), str(camera / "IMG_7.CR3")], camera / "out", "move")
    assert len(names(camera / "out")) == 6
