"""``clipiqa score``: what the paths stand for, options, exit codes."""

import sys
from pathlib import Path

import pytest
from photos import save_grey


@pytest.fixture
def folder(tmp_path):
    """Three images of grey levels 0, 51, 102, scores 0, 0.2, 0.4; files that are none; and hidden ones."""
    for name, grey in {"a.png": 0, "b.JPG": 51, "sub/c.webp": 102, ".hidden.png": 9, ".thumbnails/d.png": 9}.items():
        save_grey(tmp_path / "photos" / name, grey, (40, 40))
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_a_closed_standard_input_lists_nothing(clipiqa, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "nothing to score" in clipiqa("score - -b mini", 2).err


def test_results_that_exist_are_named_before_weights_are_looked_for(clipiqa, folder):
    Path("s.csv").write_text("mine")
    clipiqa("score photos --out s.csv --clip-weights gone.pt", 2, "exists already")
