"""Result files: what they hold, that pandas reads them, and which cells a later run keeps."""

import io
import json
import os
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from assertions import refused
from pyarrow import parquet
from result_files import read_results, write_results

from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.workbench.results.columns import Column
from clipiqa_pyiqa.workbench.results.companion_files import journal_of
from clipiqa_pyiqa.workbench.results.earlier import CellPlan
from clipiqa_pyiqa.workbench.results.failures import LASTING
from clipiqa_pyiqa.workbench.results.formats import format_of
from clipiqa_pyiqa.workbench.results.header import Header
from clipiqa_pyiqa.workbench.results.output import Output
from clipiqa_pyiqa.workbench.results.results_error import ResultsError
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.scales import scale_text
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.results.store import open_results
from clipiqa_pyiqa.workbench.sources.parquet import opened_table

pytestmark = pytest.mark.quick

QUESTIONS = {
    "quality": [["Good photo.", "Bad photo."]],
    "Crisp photo.|Hazy, dim photo.": [["Crisp photo.", "Hazy, dim photo."]],
}
SHARED = {"metric": "clipiqa", "weights": "openai afeb0e10", "weights_sha256": "afeb0e10"}
READING = {"max_side": None, "decoders": {"pillow": "12.0"}}
COLUMNS = tuple(
    Column(name, {**SHARED, "range": [0, 1], "lower_better": False, "questions": asked})
    for name, asked in QUESTIONS.items()
)
NAMES = list(QUESTIONS)
HEADER = Header(COLUMNS, READING)
ROWS = [
    Row("photos/a.jpg", (0.25, 0.5), 640, 480, 640, 480, 1, stamp="1 1"),
    Row('odd "name", with #hash\nand line break.png', (0.1, 1 / 3), 4000, 3000, 1024, 768, 6, "16-bit grey->rgb"),
    Row("photos/bad.jpg", kind=Kind.EMPTY, error="'photos/bad.jpg' is empty (0 bytes)."),
    Row("photos/ü–z.jpg", (1.0, 1e-7), 33, 32, 33, 32, 1),
]
READERS = {".csv": pd.read_csv, ".jsonl": partial(pd.read_json, lines=True), ".parquet": pd.read_parquet}
METRIC = "clipiqa, openai afeb0e10, Good photo.|Bad photo.; Crisp photo.|Hazy, dim photo."


def write(path, rows=ROWS, columns=COLUMNS, reading=READING, **how):
    write_results(open_results(Output(path, **how), columns, reading), rows)


@pytest.fixture(params=READERS)
def path(request, tmp_path):
    return tmp_path / f"scores{request.param}"


# Contents


def test_a_file_holds_the_rows_that_were_written_and_pandas_reads_it(path, monkeypatch):
    monkeypatch.setattr("clipiqa_pyiqa.workbench.results.parquet_file.ROWS_OF_GROUP", 3)  # several groups of rows
    rows = [*ROWS, Row(os.fsdecode(b"caf\xe9.jpg"), (0.5, 0.5), 40, 40, 40, 40, 1)]
    write(path, rows)
    assert read_results(path) == (HEADER, rows) and rows[-1].path == r"caf\xe9.jpg"
    beside = [] if path.suffix == ".parquet" else [f"{path.name}.provenance.json"]
    assert sorted(os.listdir(path.parent)) == [path.name, *beside]  # nothing else is left
    frame = READERS[path.suffix](path)
    assert frame.path.tolist() == [row.path for row in rows]
    assert frame.quality.isna().tolist() == [False, False, True, False, False]
    assert frame[NAMES[1]].dropna().tolist() == pytest.approx([0.5, 1 / 3, 1e-7, 0.5], rel=1e-10)
    assert set(frame.metric) == {METRIC}
    attributes = {**HEADER.provenance, "scale": scale_text(HEADER.columns)}
    assert frame.attrs == (attributes if path.suffix == ".parquet" else {})
    assert ("scale" in frame) == (path.suffix == ".csv")


def test_the_text_of_a_csv_file_and_of_its_provenance(tmp_path):
    path = tmp_path / "scores.csv"
    write(path, [ROWS[0], ROWS[2]])
    header, good, bad = path.read_text().splitlines()
    assert header == (
        'path,quality,"Crisp photo.|Hazy, dim photo.",width,height,scored_width,scored_height,exif_orientation,'
        "converted,flag,kind,error,stamp,scale,metric"
    )
    assert good.startswith("photos/a.jpg,0.25,0.5,640,480,640,480,1,,,,,1 1,") and good.endswith(f'"{METRIC}"')
    assert bad.startswith("photos/bad.jpg,,,,,,,,,,empty,'photos/bad.jpg' is empty (0 bytes).,,")
    said = json.loads(path.with_name("scores.csv.provenance.json").read_text())
    assert {**HEADER.record, **said} == said and said["sha256"] == hash_file(path)


def test_no_score_is_called_like_another_column():
    for name in ("metric", "width"):
        refused(Header, (Column(name),))


# Resume


def test_an_edited_copy_is_read_without_its_provenance_but_not_resumed(tmp_path):
    path = tmp_path / "scores.csv"
    beside = tmp_path / "scores.csv.provenance.json"
    write(path)
    path.write_bytes(path.read_bytes().rstrip())
    assert f"delete {beside.name}" in refused(read_scores, path)
    beside.unlink()
    assert read_results(path) == (None, ROWS)
    refused(write, path, resume=True)


def test_scores_that_were_made_in_another_way_are_not_resumed(path, caplog):
    write(path)
    before = path.read_bytes()
    other = [Column(each.name, {**each.record, "weights_sha256": "12345678"}) for each in COLUMNS]
    assert "weights_sha256 was afeb0e10 and is now 12345678" in refused(write, path, ROWS, other, resume=True)
    changed, now = {**READING, "max_side": 512}, "max_side was none and is now 512"
    assert now in refused(write, path, ROWS, resume=True, reading=changed)
    assert path.read_bytes() == before
    write(path, reading=changed, resume=True, overwrite=True)
    assert now in caplog.text and read_results(path)[0].reading == changed


def test_a_file_that_is_no_result_file_is_refused_and_stays(path):
    for content in ["a,b\n1,2\n", "image,b\nx,y\n", "\x00\x01", "[1, 2]\n", "5\n"]:
        path.write_text(content)
        assert "name another file" in refused(write, path, resume=True)
        refused(read_scores, path)
        assert path.read_text() == content


# One run at a time


def test_a_run_that_was_checked_before_another_ended_replaces_nothing(path):
    late = Output(path)
    write(path)
    refused(open_results, late, COLUMNS, READING)


# Output


def test_an_existing_file_is_replaced_only_with_overwrite_and_at_the_end_of_the_run(path):
    write(path)
    refused(write, path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), open_results(Output(path, overwrite=True), COLUMNS, READING):
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    write(path, ROWS[:1], overwrite=True)
    assert read_results(path)[1] == ROWS[:1]


def test_an_unknown_suffix_and_a_missing_file_are_refused(tmp_path):
    refused(format_of, Path("a.xlsx"))
    refused(read_results, tmp_path / "nothing.csv")


def test_a_small_parquet_file_cannot_claim_endless_rows(tmp_path):
    """Equal rows take no room in the file: a billion of them would fill the memory."""
    table = pyarrow.table({"path": ["a.png"] * 100_000, "quality": [0.5] * 100_000})
    parquet.write_table(table, tmp_path / "scores.parquet")
    refused(read_scores, tmp_path / "scores.parquet")


@pytest.mark.parametrize("opener", ["results.parquet_file.open_file", "sources.parquet.opened"])
def test_parquet_is_read_by_the_thread_that_asks(tmp_path, monkeypatch, opener):
    """A thread of Arrow that outlives Python, and gives a buffer of such a file back, aborts the process."""

    class Watched(io.FileIO):
        def read(self, *size):
            assert threading.current_thread() is threading.main_thread()
            return super().read(*size)

    path = tmp_path / "s.parquet"
    write(path, ROWS)
    monkeypatch.setattr(f"clipiqa_pyiqa.workbench.{opener}", Watched)
    if "results" in opener:
        assert read_results(path)[1] == ROWS
    else:
        with opened_table(str(path)) as table:
            assert table.read().num_rows == len(ROWS)


@dataclass
class Photo:
    """An image of a run."""

    name: str
    state: str = "1 1"

    def stamp(self):
        return self.state


ONE = Column("one", {"metric": "one", "range": [0, 1], "lower_better": False})
TWO = Column("two", {"metric": "two", "range": [0, 1], "lower_better": True})


def run(path, photos, columns, fail=lambda photo, column: None, stop_after=None, **how):
    """Score photos as the engine does; return the cells that were scored, and the run's results."""
    scored = []
    how = {"resume": True, **how}
    reading = how.pop("reading", READING)
    with open_results(Output(path, **how), columns, reading) as results:
        for count, photo in enumerate(photos):
            results.images.claim(photo.name)
            asked = (True,) * len(columns)
            if results.earlier:
                asked = tuple(
                    plan is not CellPlan.KEPT
                    for plan in results.earlier.plans(results.earlier.row(photo.name), photo.stamp())
                )
            if not any(asked):
                continue
            if count == stop_after:
                raise KeyboardInterrupt
            names = [each.name for each, wanted in zip(columns, asked, strict=True) if wanted]
            scored += [(photo.name, name) for name in names]
            kinds = {name: kind for name in names if (kind := fail(photo, name))}
            good = {name: value(photo, name) for name in names if name not in kinds}
            said = {"kind": next(iter(kinds.values()), None), "error": f"{photo.name} fails" if kinds else ""}
            scores = tuple(good.get(each.name) for each in columns)
            results.append(Row(photo.name, scores, 9, 9, 9, 9, 1, **said, stamp=photo.state, asked=asked))
    return scored, results


def value(photo, column):
    return len(photo.state) + len(column) / 8 + ord(photo.name[0]) / 256


def cells(path):
    return {row.path: row for row in read_results(path)[1]}


A = Photo("a")
B = Photo("b")
C = Photo("c")


# A cell is kept if its row's stamp and its column's record are the same


def test_cells_of_a_changed_or_new_image_that_were_not_asked_are_empty_and_can_be_filled(path):
    run(path, [A, B], [ONE, TWO])
    changed = Photo("a", "other")
    assert run(path, [changed, B], [ONE])[0] == [("a", "one")]
    row = cells(path)["a"]
    assert row.scores == (value(changed, "one"), None) and row.kind is Kind.NOT_ASKED and "two" in row.error
    assert cells(path)["b"].scores == tuple(value(B, n) for n in ("one", "two"))
    assert run(path, [changed, B], [ONE, TWO])[0] == [("a", "two")]
    assert cells(path)["a"].scores == tuple(value(changed, n) for n in ("one", "two"))
    assert not cells(path)["a"].error
    run(path, [changed, B, C], [TWO])
    assert cells(path)["c"].scores == (None, value(C, "two")) and cells(path)["c"].kind is Kind.NOT_ASKED
    assert run(path, [changed, B, C], [ONE])[0] == [("c", "one")]


def test_a_column_that_was_made_in_another_way_is_scored_again_if_overwriting_is_allowed(path):
    run(path, [A, B], [ONE, TWO])
    other = Column("one", {**ONE.record, "threshold": 3})
    refused(run, path, [A, B], [other, TWO])
    assert run(path, [A], [other, TWO], overwrite=True)[0] == [("a", "one")]
    rows = cells(path)
    assert rows["a"].scores[0] is not None and rows["b"].scores == (None, value(B, "two"))
    assert rows["b"].kind is Kind.NOT_ASKED  # its old score is not kept under the new record


def test_one_metric_under_another_name_is_copied(path, caplog):
    caplog.set_level("INFO")
    run(path, [A, B], [ONE])
    assert run(path, [A, B], [Column("uno", {**ONE.record, "version": "9"})])[0] == [] and "'uno'" in caplog.text
    assert {row.scores for row in cells(path).values()} == {(value(each, "one"),) * 2 for each in (A, B)}


def test_weights_of_another_name_and_equal_hash_are_the_same(path):
    run(path, [A], [COLUMNS[0]])
    before = path.stat().st_ino
    assert run(path, [A], [Column("quality", {**COLUMNS[0].record, "weights": "copy afeb0e10"})])[0] == []
    assert path.stat().st_ino == before  # a finished file is not written again if nothing is new


@pytest.mark.parametrize("kind", Kind)
def test_failures_of_the_image_are_kept_and_others_tried_again(path, kind):
    run(path, [A, B], [ONE, TWO], lambda photo, column: kind if (photo, column) == (A, "one") else None)
    scored, results = run(path, [A, B], [ONE, TWO])
    is_kept = kind in (*LASTING, Kind.DAMAGED)
    assert scored == ([] if is_kept else [("a", "one")])
    assert results.earlier.row("a").has_failed == (kind is not Kind.NOT_ASKED)
    assert (cells(path)["a"].kind is kind) == is_kept


def test_damage_is_looked_at_again_by_other_decoders(path):
    run(path, [A], [ONE], lambda *_: Kind.DAMAGED)
    assert run(path, [A], [ONE], reading={**READING, "decoders": {"pillow": "13.0"}})[0] == [("a", "one")]


def test_an_interrupted_addition_goes_on_where_it_ended(path):
    run(path, [A, B, C], [ONE])
    with pytest.raises(KeyboardInterrupt):
        run(path, [A, B, C], [ONE, TWO], stop_after=1)
    with open_results(Output(path, resume=True), [ONE, TWO], READING) as results:
        earlier = results.earlier
        plans_of_photos = [earlier.plans(earlier.row(photo.name), photo.stamp()) for photo in (A, B, C, Photo("new"))]
    kept = CellPlan.KEPT
    not_reached = CellPlan.NOT_REACHED
    assert plans_of_photos == [[kept] * 2, [kept, not_reached], [kept, not_reached], [not_reached] * 2]
    assert run(path, [A, B, C], [ONE, TWO])[0] == [("b", "two"), ("c", "two")]


def test_a_journal_that_is_damaged_during_the_run_is_not_published(path):
    with pytest.raises(ResultsError), open_results(Output(path), [ONE], READING) as results:
        results.append(Row("a", (0.5,), 9, 9, 9, 9, 1))
        results.append(Row("b", (0.5,), 9, 9, 9, 9, 1))
        content = journal_of(path).read_bytes()
        journal_of(path).write_bytes(content.replace(b'"a"', b'"z"'))
    assert not path.exists() and journal_of(path).exists()


@pytest.mark.parametrize("path", [".csv", ".parquet"], indirect=True)
def test_a_file_that_somebody_changed_is_not_continued(path):
    run(path, [A, B], [ONE])
    if path.suffix == ".csv":
        path.write_text(path.read_text().replace(",3.", ",2."))
    else:  # a column more
        table = parquet.read_table(path)
        metadata = parquet.read_metadata(path).metadata
        said = {key: metadata[key] for key in metadata if b"clipiqa" in key}
        parquet.write_table(table.append_column("more", table["path"]).replace_schema_metadata(said), path)
    refused(run, path, [A, B], [ONE])
