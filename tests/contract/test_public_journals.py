"""Heads, rows and journals that are well-formed but not as clipiqa writes them: a sentence, never a traceback."""

import copy
import json
import zlib

import pytest
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import score_paths, table

OPTIONS = {"device": "cpu", "workers": 1}

DEEP = "[" * 100_000 + "]" * 100_000

TOO_DEEP = json.loads("[" * 400 + "]" * 400)  # Python reads it, but might fail to write it

REMOVED = object()

HEADS = [  # place in the head, what is put there, and what the sentence names
    ("columns", REMOVED, "'columns'"),
    ("columns", [], "'columns'"),
    ("columns entropy", 5, "'entropy'"),
    ("columns entropy range", [0], "range"),
    ("columns entropy range", [0, "8"], "range"),
    ("columns entropy range", [0, 10**400], "range"),
    ("columns entropy lower_better", "no", "lower_better"),
    ("columns entropy files", "x", "files"),
    ("columns entropy learned", {"sha256": "0"}, "learned"),
    ("columns entropy head", {"sha256": "0", "method": "m", "fit_on": "f", "rated_photos": 3}, "score_range"),
    ("columns entropy questions", [[1]], "questions"),
    ("columns entropy options", TOO_DEEP, "too deeply"),
    ("reading", "x", "'reading'"),
    ("reading decoders", [1], "decoders"),
    ("reading versions", {"torch": 2}, "versions"),
    ("reading keep", "caption", "keep"),
    ("joined", {"mos": 3}, "'joined'"),
]

ROWS = [  # column, what is put there, and what the sentence names
    ("path", REMOVED, "lacks 'path'"),
    ("path", ["a"], "the path ['a']"),
    ("stamp", REMOVED, "lacks 'stamp'"),
    ("stamp", 5, "the stamp 5"),
    ("kind", REMOVED, "lacks 'kind'"),
    ("kind", "nonsense", "'nonsense'"),
    ("kind", ["damaged"], "the kind ['damaged']"),
    ("error", {"a": 1}, "the error {'a': 1}"),
    ("width", REMOVED, "lacks 'width'"),
    ("width", [1], "the width [1]"),
    ("entropy", "high", "the entropy 'high'"),
    ("entropy", [1.5], "the entropy [1.5]"),
    ("more", TOO_DEEP, "too deeply"),
]


def changed(record, place, value):
    record = copy.deepcopy(record)
    *way, last = place.split(" ")
    part = record
    for key in way:
        part = part[key]
    if value is REMOVED:
        del part[last]
    else:
        part[last] = value
    return record


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        save_grey(tmp_path / f"ph/{number}.png", 40 * number + 9)
    return tmp_path


def score(out, **options):
    with score_paths(["entropy"], "ph", out=out, **OPTIONS, **options) as run:
        run.run()
        return run.frame()


def journal_line(text):
    return b'["%08x", %s]\n' % (zlib.crc32(text.encode()), text.encode())


def test_lines_of_a_journal_that_are_no_rows_are_scored_again_and_named(photos, caplog):
    with score_paths(["entropy"], "ph", out="s.csv", **OPTIONS) as run:
        first = next(run)
    journal = photos / "s.csv.part.jsonl"
    header, line = journal.read_bytes().splitlines(keepends=True)
    row = json.loads(line[13:-2])
    wrong = [json.dumps(changed(row, column, value)) for column, value, _ in ROWS]
    for text in [*wrong, "5", "[]", "null", '"x"', DEEP, f'{{"path": {DEEP}}}']:
        journal.write_bytes(header + journal_line(text))
        caplog.clear()
        with score_paths(["entropy"], "ph", out="s.csv", resume=True, **OPTIONS) as run:
            assert next(run).scores == first.scores and run.tally.unchanged == 0
        assert "damaged rows are left out and scored again" in caplog.text
    journal.write_bytes(journal_line('{"head": {"columns": 5}}') + line)
    assert "'columns' of its header is 5" in refused(score, "s.csv", resume=True)


@pytest.mark.slow
def test_an_earlier_table_with_a_wrong_head_is_refused(photos):
    table({"a": "ph"}, ["entropy"], out="out", **OPTIONS)
    header = json.loads((photos / "out/images.csv.provenance.json").read_text())
    for place, value, noun in HEADS:
        text = json.dumps(changed(header, place, value))
        (photos / "out/images.csv.provenance.json").write_text(text)
        assert noun in refused(table, {"a": "ph"}, ["entropy"], expect="out/images.csv", **OPTIONS), place
    (photos / "out/images.csv.provenance.json").write_text(DEEP)
    refused(table, {"a": "ph"}, ["entropy"], expect="out/images.csv", **OPTIONS)
