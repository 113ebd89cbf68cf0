"""Photos of one moment are grouped, and picked within their moment."""

import os

import pandas
import pytest
from photos import PHOTOS, save_taken
from PIL import Image

from clipiqa_pyiqa.ranking.photos import Photos, find_moments
from clipiqa_pyiqa.results.scores import read_scores


@pytest.fixture
def folder(tmp_path):
    """Two scenes of three photos within a second each, the first scene again after an hour, and scores."""
    scenes = [Image.open(path).convert("RGB").resize((160, 120)) for path in PHOTOS[:2]]
    times = ["10:00:00.10", "10:00:00.50", "10:00:01.20", "10:00:01.60", "10:00:02.10", "10:00:02.90", "11:00:00.00"]
    for number, (scene, time) in enumerate(zip([0, 0, 0, 1, 1, 1, 0], times, strict=True)):
        photo = scenes[scene].crop((number, 2, 150 + number, 118))
        save_taken(photo, tmp_path / f"in/{number}.jpg", f"2026:05:01 {time}")
    return tmp_path


def ranked(folder):
    """The photos with scores, in moments."""
    scores = pandas.Series([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.01], sorted(map(str, (folder / "in").iterdir())), name="q")
    scores.rename_axis("path").to_csv(folder / "s.csv")
    return Photos(read_scores(folder / "s.csv"), "q", moments=find_moments(scores.index))


def moments(folder):
    paths = sorted(map(str, (folder / "in").iterdir()))
    found = find_moments(paths)
    return [found[path] for path in paths]


# Groups


def test_by_time_to_a_fraction_and_by_what_is_shown(folder):
    assert moments(folder) == [1, 1, 1, 2, 2, 2, 3]


def test_another_camera_has_moments_of_its_own(folder):
    save_taken(Image.open(folder / "in/0.jpg"), folder / "in/0b.jpg", "2026:05:01 10:00:00.20", "two")
    found = moments(folder)
    assert found.count(found[1]) == 1 and found.count(found[0]) == 3


def test_time_alone_counts_for_what_cannot_be_read(folder):
    path = folder / "in/2.jpg"
    path.write_bytes(path.read_bytes()[:-800])
    assert moments(folder) == [1, 1, 1, 1, 1, 1, 2]


def test_without_a_time_of_capture_the_file_has_one_and_this_is_said(folder, caplog):
    photo = Image.open(folder / "in/0.jpg")
    for number in (7, 8):
        save_taken(photo, folder / f"in/{number}.jpg")
    found = moments(folder)
    assert found[7] == found[8] and found.count(found[7]) == 2 and "2 photos without a time" in caplog.text


# Picks


def test_every_cut_holds_within_each_moment(clipiqa, folder):
    for cut, expected in {
        "--best 1": "256",
        "--worst 1": "03",
        "--worst 9": "0134",
        "--drop-worst 34%": "12456",
        "--drop-worst 99%": "256",
        "--below 0.35": "0126",
        "--best 1 --worst 1": "02356",
    }.items():
        ranked(folder)
        said = clipiqa(f"rank {folder}/s.csv --moments --paths {cut}", 0).out
        found = [os.path.basename(path)[0] for path in said.splitlines()]
        assert "".join(sorted(found)) == expected


def test_the_folder_and_its_table_have_moments(clipiqa, folder):
    command = f"rank {folder}/in -b mini --moments --out {folder}/out"
    clipiqa(command, 0, out="Best 3 of 7")
    assert pandas.read_csv(folder / "out/ranking.csv").moment.value_counts().to_dict() == {1: 3, 2: 3, 3: 1}
    clipiqa(f"{command} --resume --best 1 --copy-to {folder}/best", 0)
    assert len(list((folder / "best").glob("*.jpg"))) == 3
