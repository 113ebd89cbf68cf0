"""Photos taken elsewhere and back."""

import os
import tarfile
from pathlib import Path
from unittest import mock

import pandas
import pytest
from photos import save_grey
from refusal import refused

from clipiqa_pyiqa.ranking.transfers import transfer, undo

REFUSED = mock.Mock(side_effect=OSError(18, "Invalid cross-device link"))


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        save_grey(tmp_path / f"photos/a/{number}.png", 40 * number)
    return tmp_path


def test_undo_keeps_what_has_changed(folder):
    source = folder / "photos/a/1.png"
    (place,), moved, _ = transfer([str(source)], folder / "moved", "move")
    source.write_bytes(b"another")
    assert undo(moved)[0] == 0 and source.read_bytes() == b"another" and Path(place).exists() and moved.exists()
    (copied,), copies, _ = transfer([str(folder / "photos/a/0.png")], folder / "copied", "copy")
    Path(copied).write_bytes(b"edited")
    assert undo(copies)[0] == 0 and Path(copied).read_bytes() == b"edited"


@pytest.mark.parametrize("action", ["copy", "move"])
def test_a_full_disk_in_the_middle_tears_no_photo(folder, monkeypatch, action):
    """The list knows what was taken before, and no torn copy is left."""
    first, second = (folder / f"photos/a/{name}.png" for name in "01")
    transfer([str(first)], folder / "taken", action)
    fail = mock.Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("clipiqa_pyiqa.ranking.transfers.write_bytes", fail)
    monkeypatch.setattr("os.rename", fail)
    refused(transfer, [str(second)], folder / "taken", action)
    monkeypatch.undo()
    assert second.is_file() and not (folder / "taken/1.png").exists()
    lists = sorted((folder / "taken").glob("clipiqa-undo-*.jsonl"))
    (back, problems), taken = sorted(map(undo, lists))
    assert (back, len(problems)) == (0, action == "copy") and taken == (1, []) and first.is_file()


def test_a_move_to_another_file_system_goes_and_comes_back(folder, monkeypatch):
    source = folder / "photos/a/1.png"
    content = source.read_bytes()
    monkeypatch.setattr("os.rename", REFUSED)
    (place,), undo_list, _ = transfer([str(source)], folder / "moved", "move")
    assert Path(place).read_bytes() == content and not source.exists()
    assert undo(undo_list) == (1, []) and source.read_bytes() == content and not Path(place).exists()


def test_a_source_that_cannot_be_emptied_leaves_no_copy(folder, monkeypatch):
    source, unlink = folder / "photos/a/1.png", os.unlink
    monkeypatch.setattr("os.rename", REFUSED)
    monkeypatch.setattr("os.unlink", lambda path: REFUSED() if str(path) == str(source) else unlink(path))
    refused(transfer, [str(source)], folder / "out", "move")
    assert source.is_file() and not list((folder / "out").glob("*.png"))


@pytest.fixture
def shards(tmp_path):
    """The names that results give to an image in a tar archive and to a row of a table."""
    images = [save_grey(tmp_path / f"{number}.png", 40 + 80 * number) for number in range(2)]
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(images[1], "in/1.png")
    pandas.DataFrame({"image": [image.read_bytes() for image in images]}).to_parquet(tmp_path / "t.parquet")
    return [f"{tmp_path}/s.tar::in/1.png", f"{tmp_path}/t.parquet::0"]


def test_copies_have_the_members_names(shards, tmp_path):
    done, undo_list, _ = transfer(shards, tmp_path / "out", "copy")
    assert [Path(path).name for path in done] == ["1.png", "t-0.png"]
    assert [Path(path).read_bytes() for path in done] == [(tmp_path / f"{n}.png").read_bytes() for n in (1, 0)]
    assert undo(undo_list) == (2, []) and not list((tmp_path / "out").glob("*.png"))
    refused(transfer, shards, tmp_path / "out", "move")
    refused(transfer, [*shards, f"{tmp_path}/gone.tar::1.png"], tmp_path / "out", "copy")
