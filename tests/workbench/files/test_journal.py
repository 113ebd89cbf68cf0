"""Journals: a row that could not be written whole leaves nothing behind."""

import pytest

from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.workbench.files.journal import Journal, read_journal


def test_a_row_for_which_the_disk_has_no_room_leaves_the_rows_beside_it_readable(small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 40_000)
    journal = Journal(small_disk / "rows.part.jsonl")
    journal.append({"path": "first"})
    with pytest.raises(OutputError):
        journal.append({"path": "too long " * 8000})
    filler.unlink()
    journal.append({"path": "last"})
    journal.close()

    damage = []
    assert [row["path"] for row in read_journal(small_disk / "rows.part.jsonl", damage)] == ["first", "last"]
    assert not damage


def test_a_line_that_a_kill_cut_is_no_damage(tmp_path):
    path = tmp_path / "rows.part.jsonl"
    journal = Journal(path)
    for name in ("first", "last"):
        journal.append({"path": name})
    journal.close()
    path.write_bytes(path.read_bytes()[:-3])

    damage = []
    assert [row["path"] for row in read_journal(path, damage)] == ["first"]
    assert not damage
