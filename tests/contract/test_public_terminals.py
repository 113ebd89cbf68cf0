"""What macOS and Windows lack or forbid, as far as Linux can pretend to, and terminals without Unicode."""

import io
import shutil
import sys
from pathlib import Path

PHOTOS = Path(__file__).parents[1] / "data"


def test_terminals_without_unicode_get_escapes(tmp_path, clipiqa, monkeypatch):
    shutil.copy(PHOTOS / "canyon-wren.jpg", tmp_path / "鳥.jpg")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    clipiqa("rank . -b mini --max-side 64 -q", 0)
    assert r"\u9ce5.jpg" in out.buffer.getvalue().decode()
