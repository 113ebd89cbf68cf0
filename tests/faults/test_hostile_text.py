"""Names that steer terminals, turn readers' views or end tags: they stay text in every table, log, picture and page."""

import csv
import io
import os
import re
import xml.etree.ElementTree as ET

import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from photos import save_grey
from result_files import read_results

from clipiqa_pyiqa.text import one_line, plain_lines, printable
from clipiqa_pyiqa.workbench.commands import main
from clipiqa_pyiqa.workbench.files.csv_files import csv_line
from clipiqa_pyiqa.workbench.report.csv_text import csv_table

NAMES = [
    "=cmd|' (C calc'!A0.png", "\u202egpj.exe.png", "a\rb\nc.png", '"quoted", #1.png', "\x1b[31mred\x1b]0;t\x07.png",
    "<script>alert(1)<!--.png", "]]>&amp;.png", " spaces .png", "\x00".replace("\x00", "\x01\x7f\x9b31m") + ".png",
    os.fsdecode(b"latin\xe9.png"), "$\\frac{1}$.png", "\u2028\u2066.png", "n" * 200 + ".png",
]  # fmt: skip
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def hostile(tmp_path, standin):
    for number, name in enumerate(NAMES):
        save_grey(tmp_path / "photos/x.png", 5 * number).rename(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_no_text_steers_a_terminal(hostile, clipiqa):
    (hostile / "bad \x1b[2J\u202e.png").write_text("none")
    for command in ("score photos", "rank photos -q", "score 'photos/missing \x1b[2J'"):
        ran = clipiqa(command)
        said = ran.out + ran.err
        assert not UNSAFE.search(said), said[:3000]
        assert "\\x1b" in said and len(max(said.split("\n"), key=len)) < 1500


def test_undecodable_bytes_are_written_one_way(hostile, clipiqa):
    written = {printable(f"photos/{name}") for name in NAMES}
    assert "photos/latin\\xe9.png" in written
    for suffix in ("csv", "jsonl", "parquet"):
        clipiqa(f"score photos --out s.{suffix}", 0)
        assert {row.path for row in read_results(f"s.{suffix}")[1]} == written
    clipiqa("rank photos -q --out rank", 0)
    assert {*pandas.read_csv("rank/ranking.csv").path} <= written


@pytest.mark.long
def test_pictures_are_drawn_with_any_text(hostile, tmp_path, monkeypatch):
    monkeypatch.undo()  # no stand-in: radar asks which words a CLIP knows
    photos = [str(path) for path in sorted(hostile.iterdir())]
    for number, some in enumerate((photos[:7], photos[6:])):
        out = tmp_path / str(number)
        args = ["radar", *some, "-q", "-b", "mini", "--device", "cpu", "--pictures", "svg", "--out", str(out)]
        assert main(args) == 0
        ET.fromstring((out / "radar.svg").read_bytes())


@pytest.mark.quick
@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(codec=None)))
@example("\ud800\udcff\x85\r\n")
def test_any_text_becomes_printable(text):
    assert one_line(text).isprintable()
    assert all(line.isprintable() for line in plain_lines(text).split("\n"))
    printable(text).encode()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_tables_are_read_as_they_were_written(cells):
    assert list(csv.reader(io.StringIO(csv_line(cells), newline=""), strict=True)) == [cells]
    frame = pandas.DataFrame({"name": cells, "value": [0.1] * len(cells)})
    rows = list(csv.reader(io.StringIO(csv_table(frame), newline=""), strict=True))
    assert rows == [["name", "value"], *([cell, "0.1"] for cell in cells)]
