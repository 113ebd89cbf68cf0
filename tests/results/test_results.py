"""Result files: what they hold, that pandas reads them, and which cells a later run keeps."""

import io
import json
import math
import os
import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet
from stored import read_results, write_results

from clipiqa_pyiqa.errors import CLIPIQAError, Kind, OutputError
from clipiqa_pyiqa.files.reading import hash_file
from clipiqa_pyiqa.files.writing import LockedError
from clipiqa_pyiqa.results.columns import NOT_OF_SCORES, Column, ResultsError, changes, of_scores
from clipiqa_pyiqa.results.formats import Head, format_of, journal_of
from clipiqa_pyiqa.results.printing import Printer
from clipiqa_pyiqa.results.results import Output, Results
from clipiqa_pyiqa.results.rows import OF_THE_IMAGE, Row
from clipiqa_pyiqa.results.scores import read_scores

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
HEAD = Head(COLUMNS, READING)
ROWS = [
    Row("photos/a.jpg", (0.25, 0.5), 640, 480, 640, 480, 1, stamp="1 1"),
    Row('odd "name", with #hash\nand line break.png', (0.1, 1 / 3), 4000, 3000, 1024, 768, 6, "16-bit grey->rgb"),
    Row("photos/bad.jpg", kind=Kind.EMPTY, error="'photos/bad.jpg' is empty (0 bytes)."),
    Row("photos/ü–z.jpg", (1.0, 1e-7), 33, 32, 33, 32, 1),
]
READERS = {".csv": pd.read_csv, ".jsonl": partial(pd.read_json, lines=True), ".parquet": pd.read_parquet}
METRIC = "clipiqa, openai afeb0e10, Good photo.|Bad photo.; Crisp photo.|Hazy, dim photo."


def beside(path):
    """The files of a finished run."""
    return [path.name] if path.suffix == ".parquet" else [path.name, f"{path.name}.provenance.json"]


def write(path, rows=ROWS, columns=COLUMNS, reading=READING, **how):
    write_results(Results(Output(path, **how), columns, reading), rows)


def inode(path):
    """What changes if a file is written again."""
    return path.stat().st_ino, path.stat().st_mtime_ns


@pytest.fixture(params=READERS)
def path(request, tmp_path):
    return tmp_path / f"scores{request.param}"


class TestContents:
    def test_a_file_holds_the_rows_that_were_written_and_pandas_reads_it(self, path, monkeypatch):
        monkeypatch.setattr("clipiqa_pyiqa.results.formats.GROUP", 3)  # several groups of rows
        rows = [*ROWS, Row(os.fsdecode(b"caf\xe9.jpg"), (0.5, 0.5), 40, 40, 40, 40, 1)]
        write(path, rows)
        assert read_results(path) == (HEAD, rows) and rows[-1].path == r"caf\xe9.jpg"
        assert sorted(os.listdir(path.parent)) == beside(path)  # nothing else is left
        frame = READERS[path.suffix](path)
        assert frame.path.tolist() == [row.path for row in rows]
        assert frame.quality.isna().tolist() == [False, False, True, False, False]
        assert frame[NAMES[1]].dropna().tolist() == pytest.approx([0.5, 1 / 3, 1e-7, 0.5], rel=1e-10)
        assert set(frame.metric) == {METRIC}
        assert frame.attrs == (HEAD.provenance if path.suffix == ".parquet" else {})

    def test_the_text_of_a_csv_file_and_of_its_provenance(self, tmp_path):
        path = tmp_path / "scores.csv"
        write(path, [ROWS[0], ROWS[2]])
        head, good, bad = path.read_text().splitlines()
        assert head == (
            'path,quality,"Crisp photo.|Hazy, dim photo.",width,height,scored_width,scored_height,exif_orientation,'
            "converted,flag,kind,error,stamp,scale,metric"
        )
        assert good.startswith("photos/a.jpg,0.25,0.5,640,480,640,480,1,,,,,1 1,") and good.endswith(f'"{METRIC}"')
        assert bad.startswith("photos/bad.jpg,,,,,,,,,,empty,'photos/bad.jpg' is empty (0 bytes).,,")
        said = json.loads(path.with_name("scores.csv.provenance.json").read_text())
        assert {**HEAD.record, **said} == said and said["sha256"] == hash_file(path)

    @pytest.mark.parametrize("name", ["metric", "width"])
    def test_no_score_is_called_like_another_column(self, name):
        with pytest.raises(ResultsError):
            Head((Column(name),))


class TestTable:
    def text(self, rows):
        stream = io.BytesIO()
        with Printer(stream, "table", HEAD) as writer:
            for row in rows:
                writer.write(row)
        return stream.getvalue().decode().splitlines()

    def test_is_aligned_and_ends_with_the_mean(self):
        lines = self.text([ROWS[0], ROWS[2], ROWS[3]])
        said = "prompts Good photo.|Bad photo.; Crisp photo.|Hazy, dim photo."
        assert (
            lines[0]
            == f"# metric clipiqa, weights openai afeb0e10, weights_sha256 afeb0e10, max_side none, pillow 12.0, {said}"
        )
        assert lines[1].split() == ["quality", "Crisp", "photo.|Hazy,", "dim", "photo.", "path"]
        assert lines[2].split() == ["0.2500", "0.5000", "photos/a.jpg", "(640×480)"]
        assert lines[3].split() == ["-", "-", "photos/bad.jpg", "(empty)"]
        assert lines[5].split() == ["0.6250", "0.2500", "mean", "of", "2"]
        assert lines[1].index("path") == lines[2].index("photos") == lines[3].index("photos") == lines[5].index("mean")

    def test_a_single_image_has_no_mean(self):
        assert len(self.text(ROWS[:1])) == 3


class TestResume:
    def test_a_failed_image_is_scored_again_and_its_row_replaced(self, path):
        write(path)
        good = Row("photos/bad.jpg", (0.7, 0.7), 50, 50, 50, 50, 1)
        write(path, [good], resume=True)
        assert read_results(path)[1] == [ROWS[0], ROWS[1], ROWS[3], good]
        before = inode(path)
        write(path, [*ROWS, good], resume=True)
        assert inode(path) == before  # a finished file is not written again if nothing is new

    def test_a_copy_without_its_provenance_is_read_but_not_resumed(self, tmp_path):
        path = tmp_path / "scores.csv"
        write(path)
        path.with_name("scores.csv.provenance.json").unlink()
        assert read_results(path) == (None, ROWS)
        with pytest.raises(ResultsError, match="provenance"):
            write(path, resume=True)

    def test_scores_that_were_made_in_another_way_are_not_resumed(self, path):
        write(path)
        before = path.read_bytes()
        other = [Column(each.name, {**each.record, "weights_sha256": "12345678"}) for each in COLUMNS]
        with pytest.raises(ResultsError, match="weights_sha256 was afeb0e10 and is now 12345678"):
            write(path, ROWS, other, resume=True)
        with pytest.raises(ResultsError, match="max_side was none and is now 512"):
            write(path, ROWS, reading={**READING, "max_side": 512}, resume=True, overwrite=True)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", ["a,b\n1,2\n", "\x00\x01", "[1, 2]\n"])
    def test_a_file_that_is_no_result_file_is_refused_and_stays(self, path, content):
        path.write_text(content)
        with pytest.raises(CLIPIQAError):
            write(path, resume=True)
        assert path.read_text() == content


class TestOneRunAtATime:
    def test_a_second_run_is_refused_and_the_first_loses_nothing(self, path):
        output = Output(path)
        with Results(output, COLUMNS, READING) as results:
            results.append(ROWS[0])
            for options in ({}, {"overwrite": True}):  # the journal is not of an interrupted run
                with pytest.raises(LockedError):
                    write(path, **options)
            for row in ROWS[1:]:
                results.append(row)
        assert read_results(path)[1] == ROWS
        assert sorted(os.listdir(path.parent)) == beside(path)

    def test_a_run_that_was_checked_before_another_ended_replaces_nothing(self, path):
        late = Output(path)
        write(path)
        with pytest.raises(ResultsError):
            Results(late, COLUMNS, READING)

    def test_a_deleted_journal_is_an_error(self, tmp_path):
        output = Output(tmp_path / "s.csv", "csv")
        with pytest.raises(OutputError), Results(output, COLUMNS, READING) as results:
            results.append(ROWS[0])
            journal_of(output.path).unlink()
        assert not output.path.exists()


class TestOutput:
    def test_an_existing_file_is_replaced_only_with_overwrite_and_at_the_end_of_the_run(self, path):
        write(path)
        with pytest.raises(ResultsError):
            write(path)
        before = path.read_bytes()
        with pytest.raises(KeyboardInterrupt), Results(Output(path, overwrite=True), COLUMNS, READING):
            raise KeyboardInterrupt
        assert path.read_bytes() == before
        write(path, ROWS[:1], overwrite=True)
        assert read_results(path)[1] == ROWS[:1]

    def test_an_unknown_suffix_and_a_missing_file_are_refused(self, tmp_path):
        with pytest.raises(ResultsError, match=r"a\.xlsx"):
            format_of(Path("a.xlsx"))
        with pytest.raises(ResultsError, match="No such file"):
            read_results(tmp_path / "nothing.csv")


def test_a_small_parquet_file_cannot_claim_endless_rows(tmp_path):
    """Equal rows take no room in the file: a billion of them would fill the memory."""
    table = pyarrow.table({"path": ["a.png"] * 100_000, "quality": [0.5] * 100_000})
    parquet.write_table(table, tmp_path / "scores.parquet")
    with pytest.raises(CLIPIQAError, match="100,000 rows"):
        read_scores(tmp_path / "scores.parquet")


@dataclass
class Photo:
    """An image of a run: what :meth:`Known.of` asks."""

    name: str
    state: str = "1 1"

    def stamp(self):
        return self.state


ONE = Column("one", {"metric": "one", "range": [0, 1], "lower_better": False})
TWO = Column("two", {"metric": "two", "range": [0, 1], "lower_better": True})


def run(path, photos, columns, fail=lambda photo, column: None, exact=False, stop_after=None, **how):
    """Score photos as the engine does; return the cells that were scored, and the run's results."""
    scored = []
    how = {"resume": True, **how}
    reading = how.pop("reading", READING)
    with Results(Output(path, **how), columns, reading, exact=exact) as results:
        for count, photo in enumerate(photos):
            known = results.known.of(photo) if results.known else [None] * len(columns)
            if all(known):
                continue
            if count == stop_after:
                raise KeyboardInterrupt
            asked = tuple(not each for each in known)
            kinds = [fail(photo, each.name) if wanted else None for each, wanted in zip(columns, asked, strict=True)]
            scores = tuple(
                value(photo, each.name) if wanted and not kind else None
                for each, wanted, kind in zip(columns, asked, kinds, strict=True)
            )
            scored += [(photo.name, each.name) for each, wanted in zip(columns, asked, strict=True) if wanted]
            kind = next(filter(None, kinds), None)
            error = f"{photo.name} fails" if kind else ""
            row = Row(photo.name, scores, 9, 9, 9, 9, 1, kind=kind, error=error, stamp=photo.state, asked=asked)
            results.append(row)
    return scored, results


def value(photo, column):
    return len(photo.state) + len(column) / 8 + ord(photo.name[0]) / 256


def cells(path):
    return {row.path: row for row in read_results(path)[1]}


A, B, C = Photo("a"), Photo("b"), Photo("c")


class TestOneRule:
    """A cell is kept if its row's stamp and its column's record are the same."""

    def test_a_column_is_added_and_nothing_else_scored(self, path):
        run(path, [A, B], [ONE])
        assert run(path, [A, B], [ONE, TWO])[0] == [("a", "two"), ("b", "two")]
        found = read_scores(path).frame
        assert found.to_dict("index") == {each.name: {n: value(each, n) for n in ("one", "two")} for each in (A, B)}
        assert run(path, [A, B], [TWO, ONE])[0] == []

    def test_a_new_row_is_preferred_also_in_a_journal(self, path):
        run(path, [A, B], [ONE])
        with pytest.raises(KeyboardInterrupt):
            run(path, [Photo("a", "changed"), B, C, C], [ONE], stop_after=3)
        assert journal_of(path).exists()
        run(path, [Photo("a", "changed"), B, C], [ONE])
        assert cells(path)["a"].scores == (value(Photo("a", "changed"), "one"),) and len(cells(path)) == 3

    def test_a_changed_image_empties_cells_that_were_not_asked_and_they_can_be_filled(self, path):
        run(path, [A, B], [ONE, TWO])
        changed = Photo("a", "other")
        assert run(path, [changed, B], [ONE])[0] == [("a", "one")]
        row = cells(path)["a"]
        assert row.scores == (value(changed, "one"), None) and row.kind is Kind.NOT_ASKED and "two" in row.error
        assert cells(path)["b"].scores == tuple(value(B, n) for n in ("one", "two"))
        assert run(path, [changed, B], [ONE, TWO])[0] == [("a", "two")]
        assert cells(path)["a"].scores == tuple(value(changed, n) for n in ("one", "two"))
        assert not cells(path)["a"].error

    def test_a_new_image_has_no_cells_of_columns_that_were_not_asked(self, path):
        run(path, [A], [ONE, TWO])
        run(path, [A, B], [TWO])
        assert cells(path)["b"].scores == (None, value(B, "two")) and cells(path)["b"].kind is Kind.NOT_ASKED
        assert run(path, [A, B], [ONE])[0] == [("b", "one")]

    def test_a_column_that_was_made_in_another_way_is_scored_again_if_overwriting_is_allowed(self, path):
        run(path, [A, B], [ONE, TWO])
        other = Column("one", {**ONE.record, "threshold": 3})
        with pytest.raises(ResultsError, match="threshold"):
            run(path, [A, B], [other, TWO])
        assert run(path, [A], [other, TWO], overwrite=True)[0] == [("a", "one")]
        rows = cells(path)
        assert rows["a"].scores[0] is not None and rows["b"].scores == (None, value(B, "two"))
        assert rows["b"].kind is Kind.NOT_ASKED  # its old score is not kept under the new record

    def test_a_metric_that_could_not_be_built_is_scored_once_it_can_be(self, path):
        run(path, [A], [Column("one", {**ONE.record, "error": "no weights"})], lambda *_: Kind.OTHER)
        assert run(path, [A], [ONE])[0] == [("a", "one")]
        with pytest.raises(ResultsError, match="no weights"):  # its scores stay
            run(path, [A], [Column("one", {**ONE.record, "error": "no weights"})])

    def test_one_metric_under_another_name_is_copied(self, path):
        run(path, [A, B], [ONE])
        assert run(path, [A, B], [Column("uno", {**ONE.record, "version": "9"})])[0] == []
        assert {row.scores for row in cells(path).values()} == {(value(each, "one"),) * 2 for each in (A, B)}

    def test_weights_of_another_name_and_equal_hash_are_the_same(self, path):
        run(path, [A], [COLUMNS[0]])
        assert run(path, [A], [Column("quality", {**COLUMNS[0].record, "weights": "copy afeb0e10"})])[0] == []

    def test_a_function_is_scored_in_every_run_and_others_are_kept(self, path, caplog):
        function = Column("f", {"metric": "f", "range": [0, 1], "lower_better": False, "state": None})
        run(path, [A, B], [function, ONE])
        caplog.clear()
        assert run(path, [A, B], [function, ONE])[0] == [("a", "f"), ("b", "f")]
        assert "f scores all images again" in caplog.text

    @pytest.mark.parametrize("kind", Kind)
    def test_failures_of_the_image_are_kept_and_others_tried_again(self, path, kind):
        run(path, [A, B], [ONE, TWO], lambda photo, column: kind if (photo, column) == (A, "one") else None)
        scored, results = run(path, [A, B], [ONE, TWO])
        is_kept = kind in (*OF_THE_IMAGE, Kind.DAMAGED)
        assert scored == ([] if is_kept else [("a", "one")]) and results.known.failed == is_kept
        assert (cells(path)["a"].kind is kind) == is_kept

    def test_damage_is_looked_at_again_by_other_decoders(self, path):
        run(path, [A], [ONE], lambda *_: Kind.DAMAGED)
        assert run(path, [A], [ONE], reading={**READING, "decoders": {"pillow": "13.0"}})[0] == [("a", "one")]

    def test_of_several_failures_one_that_is_tried_again_counts(self, path):
        kinds = {"one": Kind.TOO_SMALL, "two": Kind.OUT_OF_MEMORY}
        run(path, [A], [ONE], lambda photo, column: kinds[column])
        run(path, [A], [ONE, TWO], lambda photo, column: kinds[column])
        assert cells(path)["a"].kind is Kind.OUT_OF_MEMORY
        assert run(path, [A], [ONE, TWO])[0] == [("a", "one"), ("a", "two")]

    def test_an_interrupted_addition_goes_on_where_it_ended(self, path):
        run(path, [A, B, C], [ONE])
        with pytest.raises(KeyboardInterrupt):
            run(path, [A, B, C], [ONE, TWO], stop_after=1)
        with Results(Output(path, resume=True), [ONE, TWO], READING) as results:
            assert [results.known.of(each) for each in (A, B, C)] == [[True, True], [True, None], [True, None]]
        assert run(path, [A, B, C], [ONE, TWO])[0] == [("b", "two"), ("c", "two")]
        assert all(None not in row.scores for row in cells(path).values())

    def test_images_that_a_shard_no_longer_has_are_left_out(self, path):
        run(path, [A, B], [ONE])
        assert run(path, [B], [ONE], exact=True)[0] == [] and list(cells(path)) == ["b"]
        assert run(path, [A], [ONE])[0] == [("a", "one")] and len(cells(path)) == 2  # otherwise rows stay

    def test_a_damaged_line_of_a_journal_is_scored_again(self, path, caplog):
        with pytest.raises(KeyboardInterrupt):
            run(path, [A, B, C], [ONE], stop_after=2)
        lines = journal_of(path).read_bytes().splitlines(keepends=True)
        lines[1] = lines[1].replace(b'"a"', b'"z"')
        journal_of(path).write_bytes(b"".join(lines))
        assert run(path, [A, B, C], [ONE])[0] == [("a", "one"), ("c", "one")]
        assert len(cells(path)) == 3 and "damaged" in caplog.text

    def test_a_journal_that_is_damaged_during_the_run_is_not_published(self, path):
        with pytest.raises(ResultsError, match="damaged"), Results(Output(path), [ONE], READING) as results:
            results.append(Row("a", (0.5,), 9, 9, 9, 9, 1))
            results.append(Row("b", (0.5,), 9, 9, 9, 9, 1))
            content = journal_of(path).read_bytes()
            journal_of(path).write_bytes(content.replace(b'"a"', b'"z"'))
        assert not path.exists() and journal_of(path).exists()

    def test_a_file_that_somebody_changed_is_not_continued(self, tmp_path):
        path = tmp_path / "s.csv"
        run(path, [A, B], [ONE])
        path.write_text(path.read_text().replace(",3.", ",2."))
        with pytest.raises(ResultsError, match="changed"):
            run(path, [A, B], [ONE])

    def test_values_are_joined_anew_and_only_then_is_the_file_written(self, path):
        judge = Column("judge", {"metric": "judge", "sha256": "1", "range": None, "lower_better": True})

        def join(column, values):
            with Results(Output(path, resume=True), [ONE], READING) as results:
                results.join(column, values)
                results.join("mos", {"a": 3.5, "b": 4})
                for each in (A, B):
                    if not results.known or not all(results.known.of(each)):
                        results.append(Row(each.name, (0.5,), 9, 9, 9, 9, 1, stamp="1 1"))
            return results.scores().frame["judge"].tolist()

        assert join(judge, {"a": 7.0}) == pytest.approx([7, math.nan], nan_ok=True)
        before = inode(path)
        join(judge, {"a": 7.0})
        assert inode(path) == before
        assert join(Column("judge", {**judge.record, "sha256": "2"}), {"a": 7.0, "b": 8.0}) == [7, 8]
        scores = read_scores(path)
        assert list(scores.frame["judge"]) == [7.0, 8.0] and scores.columns["judge"].lower_better
        assert list(map(float, scores.other["mos"])) == [3.5, 4]

    def test_what_is_known_can_be_pickled(self, path):
        run(path, [A], [ONE])
        with Results(Output(path, resume=True), [ONE], READING) as results:
            known = pickle.loads(pickle.dumps(results.known))
            assert known.of(A) == [True] and known.of(B) == [False]


class TestRecords:
    def test_every_field_of_a_record_counts_but_the_named_ones(self):
        record = {
            "metric": "m",
            "range": [0, 1],
            "lower_better": False,
            "precision": "fp32",
            "weights": "a 1",
            "file": "b",
        }
        record |= {
            "learned": {"sha256": "1", "from": "x"},
            "version": "1",
            "versions": {},
            "device": "cpu",
            "decoders": {},
        }
        for key in record:
            other = {**record, key: {"sha256": "2"} if key == "learned" else "other"}
            is_same = Column("a", record).fingerprint == Column("b", other).fingerprint
            assert is_same == (key in NOT_OF_SCORES) == (not changes(record, other)), key
        assert not changes(record, {**record, "learned": {"sha256": "1", "from": "y"}})
        assert of_scores(record)["learned"] == "1"
