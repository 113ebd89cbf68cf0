"""Result files: what they hold, that pandas reads them, and that nothing is lost or doubled when a run breaks off."""

import io
import json
import os
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from clipiqa_pyiqa.errors import CLIPIQAError, Kind, OutputError
from clipiqa_pyiqa.files.hashes import hash_file
from clipiqa_pyiqa.files.writing import LockedError
from clipiqa_pyiqa.scoring.result_files import Output, ResultWriter, format_of, open_results, read_results
from clipiqa_pyiqa.scoring.rows import Header, ResultsError, Row
from clipiqa_pyiqa.scoring.score_files import read_any_scores

pytestmark = pytest.mark.quick

QUESTIONS = {
    "quality": [["Good photo.", "Bad photo."]],
    "Crisp photo.|Hazy, dim photo.": [["Crisp photo.", "Hazy, dim photo."]],
}
SCORES = {name: {"range": [0, 1], "lower_better": False, "questions": asked} for name, asked in QUESTIONS.items()}
PROVENANCE = {"metric": "clipiqa", "weights": "openai afeb0e10", "max_side": None, "scores": SCORES}
HEADER = Header(tuple(QUESTIONS), PROVENANCE)
ROWS = [
    Row("photos/a.jpg", (0.25, 0.5), 640, 480, 640, 480, 1),
    Row('odd "name", with #hash\nand line break.png', (0.1, 1 / 3), 4000, 3000, 1024, 768, 6, "16-bit grey->rgb"),
    Row("photos/bad.jpg", kind=Kind.EMPTY, error="'photos/bad.jpg' is empty (0 bytes)."),
    Row("photos/ü–z.jpg", (1.0, 1e-7), 33, 32, 33, 32, 1, "rgb+alpha->rgb on white"),
]
READERS = {".csv": pd.read_csv, ".jsonl": partial(pd.read_json, lines=True), ".parquet": pd.read_parquet}
METRIC = "clipiqa, openai afeb0e10, Good photo.|Bad photo.; Crisp photo.|Hazy, dim photo."


def beside(path):
    """The files of a finished run."""
    return [path.name] if path.suffix == ".parquet" else [path.name, f"{path.name}.provenance.json"]


def write(path, rows=ROWS, header=HEADER, **how):
    with open_results(Output(path, format_of(path), **how), header) as writer:
        for row in rows:
            if writer.earlier.stamps.get(row.path) is None:
                writer.write(row)


@pytest.fixture(params=READERS)
def path(request, tmp_path):
    return tmp_path / f"scores{request.param}"


class TestContents:
    def test_a_file_holds_the_rows_that_were_written_and_pandas_reads_it(self, path, monkeypatch):
        monkeypatch.setattr("clipiqa_pyiqa.scoring.result_files.GROUP", 3)  # several groups of rows
        rows = [*ROWS, Row(os.fsdecode(b"caf\xe9.jpg"), (0.5, 0.5), 40, 40, 40, 40, 1)]
        write(path, rows)
        assert read_results(path) == (HEADER, rows) and rows[-1].path == r"caf\xe9.jpg"
        assert sorted(os.listdir(path.parent)) == beside(path)  # nothing else is left
        frame = READERS[path.suffix](path)
        assert frame.path.tolist() == [row.path for row in rows]
        assert frame.quality.isna().tolist() == [False, False, True, False, False]
        assert frame[HEADER.columns[1]].dropna().tolist() == pytest.approx([0.5, 1 / 3, 1e-7, 0.5], rel=1e-10)
        assert set(frame.metric) == {METRIC}
        assert frame.attrs == (dict(HEADER.provenance) if path.suffix == ".parquet" else {})

    def test_the_text_of_a_csv_file_and_of_its_provenance(self, tmp_path):
        path = tmp_path / "scores.csv"
        write(path, [ROWS[0], ROWS[2]])
        head, good, bad = path.read_text().splitlines()
        assert head == (
            'path,quality,"Crisp photo.|Hazy, dim photo.",width,height,scored_width,scored_height,exif_orientation,'
            "converted,flag,kind,error,stamp,scale,metric"
        )
        assert good.startswith("photos/a.jpg,0.25,0.5,640,480,640,480,1,,,,,,") and good.endswith(f'"{METRIC}"')
        assert bad.startswith("photos/bad.jpg,,,,,,,,,,empty,'photos/bad.jpg' is empty (0 bytes).,,")
        said = json.loads(path.with_name("scores.csv.provenance.json").read_text())
        assert said["provenance"] == HEADER.provenance and said["sha256"] == hash_file(path)

    @pytest.mark.parametrize("name", ["metric", "width"])
    def test_no_score_is_called_like_another_column(self, name):
        with pytest.raises(ResultsError):
            Header((name,), {})


class TestTable:
    def text(self, rows):
        stream = io.BytesIO()
        with ResultWriter(stream, "table", HEADER) as writer:
            for row in rows:
                writer.write(row)
        return stream.getvalue().decode().splitlines()

    def test_is_aligned_and_ends_with_the_mean(self):
        lines = self.text([ROWS[0], ROWS[2], ROWS[3]])
        said = "prompts Good photo.|Bad photo.; Crisp photo.|Hazy, dim photo."
        assert lines[0] == f"# metric clipiqa, weights openai afeb0e10, max_side none, {said}"
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
        before = path.read_bytes()
        write(path, [*ROWS, good], resume=True)
        assert path.read_bytes() == before

    def test_a_copy_without_its_provenance_is_read_but_not_resumed(self, tmp_path):
        path = tmp_path / "scores.csv"
        write(path)
        path.with_name("scores.csv.provenance.json").unlink()
        assert read_results(path) == (Header(HEADER.columns, {}), ROWS)
        with pytest.raises(ResultsError, match="provenance"):
            write(path, resume=True)

    @pytest.mark.parametrize(
        ("columns", "changes", "message"),
        [
            (2, {"weights": "laion 12345678"}, "weights was openai afeb0e10 and is now laion 12345678"),
            (1, {}, "columns was quality, Crisp"),
        ],
    )
    def test_scores_that_were_made_in_another_way_are_not_resumed(self, path, columns, changes, message):
        header = Header(HEADER.columns[:columns], {**HEADER.provenance, **changes})
        write(path)
        before = path.read_bytes()
        with pytest.raises(ResultsError, match=message):
            write(path, ROWS, header, resume=True)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", ["a,b\n1,2\n", "\x00\x01", "[1, 2]\n"])
    def test_a_file_that_is_no_result_file_is_refused_and_stays(self, path, content):
        path.write_text(content)
        with pytest.raises(CLIPIQAError):
            write(path, resume=True)
        assert path.read_text() == content


class TestOneRunAtATime:
    def test_a_second_run_is_refused_and_the_first_loses_nothing(self, path):
        output = Output(path, format_of(path))
        with open_results(output, HEADER) as writer:
            writer.write(ROWS[0])
            with pytest.raises(LockedError):
                write(path, overwrite=True)
            for row in ROWS[1:]:
                writer.write(row)
        assert read_results(path)[1] == ROWS
        assert sorted(os.listdir(path.parent)) == beside(path)

    def test_a_run_that_was_checked_before_another_ended_replaces_nothing(self, path):
        late = Output(path, format_of(path))
        write(path)
        with pytest.raises(ResultsError):
            open_results(late, HEADER)

    def test_a_deleted_journal_is_an_error(self, tmp_path):
        output = Output(tmp_path / "s.csv", "csv")
        with pytest.raises(OutputError), open_results(output, HEADER) as writer:
            output.journal.unlink()
            writer.write(ROWS[0])
        assert not output.path.exists()


class TestOutput:
    def test_an_existing_file_is_replaced_only_with_overwrite_and_at_the_end_of_the_run(self, path):
        write(path)
        with pytest.raises(ResultsError):
            write(path)
        before = path.read_bytes()
        with pytest.raises(KeyboardInterrupt), open_results(Output(path, format_of(path), overwrite=True), HEADER):
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
        read_any_scores(tmp_path / "scores.parquet")
