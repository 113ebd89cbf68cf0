"""Tables of the pages are whole: a blank line within one would show its other rows as text."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEPARATOR = re.compile(r"\|[\s:|-]+\|$")


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_each_table_begins_with_its_head(page):
    lines = ["", *(ROOT / page).read_text(encoding="utf-8").splitlines(), ""]
    beginnings = [
        number for number, line in enumerate(lines) if line.startswith("|") and not lines[number - 1].startswith("|")
    ]
    without_head = [number for number in beginnings if not SEPARATOR.match(lines[number + 1])]
    assert not without_head
