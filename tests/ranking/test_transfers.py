"""Nothing is lost on the way: an undo list knows each step before it is taken, and a pick is what was scored."""

import os
from pathlib import Path

import pytest
from photos import save_grey
from refusal import refused
from shard_makers import save_tar

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.ranking import transfers
from clipiqa_pyiqa.ranking.transfers import transfer, undo


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Six grey photos, and their scores with stamps."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    list(score_paths(["entropy"], "photos", out="scores.csv", device="cpu", workers=1))
    return tmp_path


def stopped_at(count, error):
    """A stand-in for a function that stops the process at one of its calls."""
    calls = []

    def act(function, *arguments):
        calls.append(arguments)
        if len(calls) == count:
            function(*arguments)
            raise error
        return function(*arguments)

    return act


def undo_list(folder):
    (found,) = Path(folder).glob("clipiqa-undo-*.jsonl")
    return found


def test_a_photo_whose_move_was_interrupted_comes_back(photos, monkeypatch):
    """Ctrl-C comes right after the photo has moved."""
    act, rename = stopped_at(2, KeyboardInterrupt()), os.rename
    monkeypatch.setattr(os, "rename", lambda *arguments: act(rename, *arguments))
    with pytest.raises(KeyboardInterrupt):
        transfer([f"photos/{n}.png" for n in range(4)], "taken", "move")
    monkeypatch.undo()
    assert undo(undo_list(photos / "taken"))[1] == []
    assert sorted(os.listdir(photos / "photos")) == [f"{n}.png" for n in range(6)]


def test_each_line_is_on_the_disk_before_its_photo_moves(photos, monkeypatch):
    events, rename = [], os.rename
    monkeypatch.setattr(os, "fsync", lambda *_: events.append("sync"))
    monkeypatch.setattr(os, "rename", lambda *names: events.append("move") or rename(*names))
    transfer([f"photos/{n}.png" for n in range(3)], "taken", "move")
    assert events.count("move") == 3 and "move move" not in " ".join(events)


def test_a_damaged_line_is_named_and_the_others_are_undone(photos):
    _, path, _ = transfer([str(photos / f"photos/{n}.png") for n in range(4)], photos / "taken", "move")
    path.write_bytes(path.read_bytes().replace(b"1.png", b"l.png", 1))
    back, problems = undo(path)
    assert back == 3 and len(problems) == 1 and "line 2" in problems[0]
    assert undo(path) == (0, problems)
    assert (photos / "taken/1.png").is_file() and path.is_file()


def test_no_photo_moves_if_the_list_cannot_be_written(photos, monkeypatch):
    """The disk fills at the third line."""
    act, append = stopped_at(3, OSError(28, "No space left on device")), transfers.Journal.append
    monkeypatch.setattr(transfers.Journal, "append", lambda self, row: act(append, self, row))
    refused(transfer, [f"photos/{n}.png" for n in range(4)], "taken", "move")
    assert sorted(path.name for path in (photos / "taken").glob("*.png")) == ["0.png", "1.png"]
    assert undo(undo_list("taken")) == (2, [])


@pytest.mark.parametrize(
    "option", ["--worst 6 --move-to taken", "--worst 6 --copy-to taken", "--worst 6 --paths", "--page ."]
)
def test_a_photo_replaced_since_it_was_scored_is_not_taken_or_shown(clipiqa, photos, option):
    save_grey(photos / "photos/0.png", 200, size=(70, 50))
    said = clipiqa(f"rank scores.csv {option}", 2, "0.png")
    assert not said.out and not (photos / "taken").exists()
    clipiqa(f"rank scores.csv --despite-changes {option}", 0, "entropy: higher is better")
    assert len(list(photos.glob("taken/*.png"))) == (6 if "taken" in option else 0)


def test_members_of_one_name_are_two_images(photos):
    """Each has its own score and name, is found again, and is copied as it was scored."""
    content = [(photos / f"photos/{n}.png").read_bytes() for n in range(3)]
    for mode, members in (("w", {"a.png": content[0]}), ("a", {"a.png": content[1], "b.png": content[2]})):
        save_tar(Path("s.tar"), members, mode)
    rows = list(score_paths(["entropy"], "s.tar", out="t.csv", device="cpu", workers=1))
    assert len({row.path for row in rows}) == 3
    assert not list(score_paths(["entropy"], "s.tar", out="t.csv", resume=True, device="cpu", workers=1))
    assert len(Path("t.csv").read_text().splitlines()) == 4
    done, _, _ = transfer([row.path for row in rows], "taken", "copy")
    assert [Path(path).read_bytes() for path in done] == content and {Path(p).suffix for p in done} == {".png"}
