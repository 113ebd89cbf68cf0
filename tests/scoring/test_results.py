"""Result files: what they hold, that pandas reads them, and that nothing is lost or doubled when a run breaks off."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from clipiqa_pyiqa.scoring import result_files
from clipiqa_pyiqa.scoring.result_files import FORMATS, Output, format_of, open_results, read_results, write_to
from clipiqa_pyiqa.scoring.rows import Header, ResultsError, Row, printable

HEADER = Header(("quality", "Crisp photo.|Hazy, dim photo."), {"metric": "clipiqa", "weights": "openai afeb0e10"})
ROWS = [
    Row("photos/a.jpg", (0.25, 0.5), 640, 480, 640, 480, 1),
    Row('odd "name", with #hash\nand line break.png', (0.1, 1 / 3), 4000, 3000, 1024, 768, 6, "16-bit grey->rgb"),
    Row("photos/bad.jpg", error="'photos/bad.jpg' is empty (0 bytes)."),
    Row("photos/ü–z.jpg", (1.0, 1e-7), 33, 32, 33, 32, 1, "rgb+alpha->rgb on white"),
]
FILE_FORMATS = ["csv", "jsonl", "parquet"]


def write(
    path: Path, rows: list[Row] = ROWS, header: Header = HEADER, paths: list[str] | None = None, **how: bool
) -> None:
    output = Output(path, format_of(path), **how)
    with open_results(output, header, [row.path for row in rows] if paths is None else paths) as writer:
        for row in rows:
            if row.path not in writer.done:
                writer.write(row)


@pytest.fixture(params=FILE_FORMATS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"scores.{request.param}"


class TestContents:
    def test_round_trip(self, path: Path) -> None:
        write(path)
        assert read_results(path) == (HEADER, ROWS)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # nothing else is left

    def test_csv_text(self, tmp_path: Path) -> None:
        write(tmp_path / "scores.csv", ROWS[:1] + ROWS[2:3])
        assert (tmp_path / "scores.csv").read_text().splitlines() == [
            "# metric: clipiqa",
            "# weights: openai afeb0e10",
            'path,quality,"Crisp photo.|Hazy, dim photo.",width,height,scored_width,scored_height,exif_orientation,'
            "converted,error",
            "photos/a.jpg,0.25,0.5,640,480,640,480,1,,",
            "photos/bad.jpg,,,,,,,,,'photos/bad.jpg' is empty (0 bytes).",
        ]

    def test_jsonl_text(self, tmp_path: Path) -> None:
        write(tmp_path / "scores.jsonl", ROWS[3:])
        first, second = map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())
        assert first == {"columns": list(HEADER.columns), "provenance": dict(HEADER.provenance)}
        assert second["path"] == "photos/ü–z.jpg" and second["quality"] == 1.0 and second["error"] == ""

    def test_pandas_reads_csv(self, tmp_path: Path) -> None:
        write(tmp_path / "scores.csv")
        frame = pd.read_csv(tmp_path / "scores.csv", comment="#")
        assert frame.path.tolist() == [row.path for row in ROWS]
        assert frame.quality.isna().tolist() == [False, False, True, False]
        assert frame[HEADER.columns[1]].dropna().tolist() == [0.5, 1 / 3, 1e-7]

    def test_pandas_reads_parquet_with_provenance(self, tmp_path: Path) -> None:
        write(tmp_path / "scores.parquet")
        frame = pd.read_parquet(tmp_path / "scores.parquet")
        assert frame.path.tolist() == [row.path for row in ROWS]
        assert frame.quality.isna().tolist() == [False, False, True, False]
        assert frame.attrs == dict(HEADER.provenance)

    def test_pandas_reads_jsonl(self, tmp_path: Path) -> None:
        write(tmp_path / "scores.jsonl")
        lines = (tmp_path / "scores.jsonl").read_text().splitlines()[1:]
        assert pd.read_json(io.StringIO("\n".join(lines)), lines=True).quality.isna().sum() == 1

    def test_names_that_are_not_utf8(self, path: Path) -> None:
        raw = os.fsdecode(b"caf\xe9.jpg")
        write(path, [Row(raw, (0.5, 0.5), 40, 40, 40, 40, 1)])
        assert read_results(path)[1][0].path == r"caf\xe9.jpg" == printable(raw)

    def test_values_of_the_header_stay_on_one_line(self, tmp_path: Path) -> None:
        header = Header(("quality",), {"prompts": "Good\nphoto.|Bad   photo."})
        write(tmp_path / "scores.csv", [], header)
        assert read_results(tmp_path / "scores.csv")[0].provenance == {"prompts": "Good photo.|Bad photo."}

    def test_parquet_of_several_row_groups(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("clipiqa_pyiqa.scoring.rows._PARQUET_GROUP", 3)
        rows = [Row(f"{n}.png", (n / 10, 0.5), 40, 40, 40, 40, 1) for n in range(10)]
        write(tmp_path / "scores.parquet", rows)
        assert read_results(tmp_path / "scores.parquet")[1] == rows


class TestTable:
    def text(self, rows: list[Row]) -> list[str]:
        stream = io.BytesIO()
        with write_to(stream, "table", HEADER, [row.path for row in rows]) as writer:
            for row in rows:
                writer.write(row)
        return stream.getvalue().decode().splitlines()

    def test_is_aligned_and_ends_with_the_mean(self) -> None:
        lines = self.text([ROWS[0], ROWS[2], ROWS[3]])
        assert lines[0] == "# metric clipiqa, weights openai afeb0e10"
        assert lines[1].split() == ["path", "quality", "Crisp", "photo.|Hazy,", "dim", "photo.", "size"]
        assert lines[2].split() == ["photos/a.jpg", "0.2500", "0.5000", "640×480"]
        assert lines[3].split() == ["photos/bad.jpg", "-", "-", "not", "scored"]
        assert lines[4].endswith("33×32, rgb+alpha->rgb on white")
        assert lines[5].split() == ["mean", "of", "2", "0.6250", "0.2500"]
        assert (
            len({line.index(mark) for line, mark in zip(lines[1:5], ["size", "640", "not", "33×"], strict=True)}) == 1
        )

    def test_shrunk_images_say_so(self) -> None:
        assert "4000×3000 as 1024×768, 16-bit" in "\n".join(self.text(ROWS[:2]))

    def test_a_single_image_has_no_mean(self) -> None:
        assert len(self.text(ROWS[:1])) == 3


class TestStream:
    def test_each_row_is_out_at_once(self) -> None:
        stream = io.BytesIO()
        with write_to(stream, "csv", HEADER) as writer:
            for number, row in enumerate(ROWS, 1):
                writer.write(row)
                assert len(list(csv.reader(stream.getvalue().decode().splitlines(keepends=True)[3:]))) == number

    def test_full(self) -> None:
        with open("/dev/full", "wb", buffering=0) as full, pytest.raises(ResultsError, match="No space left on device"):
            write_to(full, "csv", HEADER)


class TestResume:
    def test_goes_on_where_a_run_ended(self, path: Path) -> None:
        output = Output(path, format_of(path))
        with pytest.raises(KeyboardInterrupt), open_results(output, HEADER) as writer:
            writer.write(ROWS[0])
            writer.write(ROWS[1])
            raise KeyboardInterrupt
        write(path, resume=True)
        assert read_results(path) == (HEADER, ROWS)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    def test_tries_failures_again_and_keeps_those_it_was_not_asked_about(self, path: Path) -> None:
        write(path)
        good = Row("photos/bad.jpg", (0.7, 0.7), 50, 50, 50, 50, 1)
        write(path, [good], resume=True)
        assert read_results(path)[1] == [ROWS[0], ROWS[1], ROWS[3], good]
        write(path, [Row("other.jpg", error="broken.")], paths=["other.jpg"], resume=True)
        write(path, [], paths=["photos/a.jpg"], resume=True)
        assert read_results(path)[1][-1] == Row("other.jpg", error="broken.")

    def test_of_a_finished_run_changes_nothing(self, path: Path) -> None:
        write(path, [row for row in ROWS if not row.error])
        before = path.read_bytes()
        write(path, [row for row in ROWS if not row.error], resume=True)
        assert path.read_bytes() == before

    def test_of_nothing_starts(self, path: Path) -> None:
        write(path, resume=True)
        assert read_results(path)[1] == ROWS

    @pytest.mark.parametrize("suffix", ["csv", "jsonl"])
    def test_wherever_the_file_was_torn(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"scores.{suffix}"
        write(path)
        content = path.read_bytes()
        whole = [row for row in ROWS if not row.error] + ROWS[2:3]
        start = len(content) - len(content[content.index(b"photos/a.jpg") :])
        for end in range(start, len(content)):
            path.write_bytes(content[:end])
            write(path, resume=True)
            rows = read_results(path)[1]
            assert sorted(rows, key=ROWS.index) == ROWS and len(rows) == len(whole), end

    def test_torn_journal_of_a_parquet_file(self, tmp_path: Path) -> None:
        path = tmp_path / "scores.parquet"
        with pytest.raises(KeyboardInterrupt), open_results(Output(path, "parquet"), HEADER) as writer:
            for row in ROWS:
                writer.write(row)
            raise KeyboardInterrupt
        journal = tmp_path / "scores.parquet.part.jsonl"
        assert not path.exists() and len(read_results(journal)[1]) == 4
        journal.write_bytes(journal.read_bytes()[:-20])
        write(path, resume=True)
        assert len(read_results(path)[1]) == 4 and not journal.exists()

    @pytest.mark.parametrize(
        ("columns", "changes", "message"),
        [
            (2, {"weights": "laion 12345678"}, "weights was openai afeb0e10 and is now laion 12345678;"),
            (2, {"max_side": "512"}, "max_side was not given and is now 512;"),
            (1, {}, "columns was quality, Crisp .* and is now quality;"),
        ],
    )
    def test_refuses_scores_of_another_make(
        self, path: Path, columns: int, changes: dict[str, str], message: str
    ) -> None:
        header = Header(HEADER.columns[:columns], {**HEADER.provenance, **changes})
        write(path)
        before = path.read_bytes()
        with pytest.raises(ResultsError, match=f"cannot be resumed, as its scores were made another way.*{message}"):
            write(path, ROWS, header, resume=True)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", ["a,b\n1,2\n", "{}\n", "# a: b\n", "\x00\x01", "path,error\n", "[1, 2]\n"])
    def test_refuses_what_is_no_result_file(self, path: Path, content: str) -> None:
        path.write_text(content)
        with pytest.raises(ResultsError, match="is not a result file of clipiqa score"):
            write(path, resume=True)
        assert path.read_text() == content

    def test_refuses_a_damaged_row(self, tmp_path: Path) -> None:
        path = tmp_path / "scores.jsonl"
        write(path)
        path.write_bytes(path.read_bytes().replace(b'"quality": 0.25', b'"quality": oops'))
        with pytest.raises(ResultsError, match="damaged"):
            write(path, resume=True)


class TestOutput:
    def test_existing_file_is_not_replaced_unasked(self, path: Path) -> None:
        write(path)
        with pytest.raises(ResultsError, match="exists already: pass --resume to go on with it, or --overwrite"):
            write(path)
        write(path, ROWS[:1], overwrite=True)
        assert read_results(path)[1] == ROWS[:1]

    def test_interrupted_parquet_is_not_dropped_unasked(self, tmp_path: Path) -> None:
        (tmp_path / "scores.parquet.part.jsonl").write_text("{}\n")
        with pytest.raises(ResultsError, match=r"part\.jsonl' exists already"):
            Output(tmp_path / "scores.parquet", "parquet")

    def test_unwritable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ResultsError, match="is a folder: name a file"):
            Output(tmp_path, "csv")
        with pytest.raises(ResultsError, match=r"there is no folder '.*nowhere'"):
            Output(tmp_path / "nowhere/scores.csv", "csv")
        monkeypatch.setattr(result_files.os, "access", lambda *_: False)  # as root, everything can be written
        with pytest.raises(ResultsError, match="permission denied"):
            Output(tmp_path / "scores.csv", "csv")

    def test_devices_and_pipes_are_written_to_and_stay_what_they_are(self) -> None:
        with open_results(Output(Path("/dev/null"), "csv"), HEADER) as writer:
            writer.write(ROWS[0])
        assert Path("/dev/null").is_char_device()
        with pytest.raises(ResultsError, match="No space left"):
            open_results(Output(Path("/dev/full"), "csv"), HEADER)
        with pytest.raises(ResultsError, match="no regular file"):
            Output(Path("/dev/null"), "parquet")
        with pytest.raises(ResultsError, match="only csv, jsonl and parquet"):
            Output(Path("/dev/null"), "csv", resume=True)

    def test_table_cannot_be_resumed(self, tmp_path: Path) -> None:
        with pytest.raises(ResultsError, match="only csv, jsonl and parquet files can be resumed"):
            Output(tmp_path / "scores.txt", "table", resume=True)

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
        write(tmp_path / "link.csv")
        assert (tmp_path / "link.csv").is_symlink() and len(read_results(tmp_path / "real.csv")[1]) == 4

    @pytest.mark.parametrize(("name", "format"), [("a.csv", "csv"), ("a.JSONL", "jsonl"), ("a.b.parquet", "parquet")])
    def test_format_by_suffix(self, name: str, format: str) -> None:
        assert format_of(Path(name)) == format and format in FORMATS

    def test_unknown_suffix(self) -> None:
        with pytest.raises(
            ResultsError, match=r"suffix of 'a\.xlsx' names no format: use one of \.csv, .*, or --format"
        ):
            format_of(Path("a.xlsx"))

    def test_reading_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ResultsError, match=r"cannot read .*: No such file"):
            read_results(tmp_path / "nothing.csv")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("format", FILE_FORMATS)
    def test_keeps_every_whole_row_and_can_go_on(self, small_disk: Path, format: str) -> None:
        path = small_disk / f"scores.{format}"
        rows = [Row(f"photos/{n:04}.jpg", (n / 2000, 0.5), 640, 480, 640, 480, 1) for n in range(2000)]
        with pytest.raises(ResultsError, match="No space left on device; what was written before is kept"):
            write(path, rows)
        journal = path if path.exists() else path.with_name(path.name + ".part.jsonl")
        kept = read_results(journal)[1]
        assert 100 < len(kept) < 2000 and kept == rows[: len(kept)]
        assert journal.read_bytes().endswith(b"\n")  # no torn row
        subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
        write(path, rows, resume=True)
        assert read_results(path)[1] == rows

    def test_no_room_for_the_parquet_file_at_the_end(self, small_disk: Path) -> None:
        path = small_disk / "scores.parquet"
        rows = [Row(f"photos/{os.urandom(20).hex()}.jpg", (n / 250, 0.5), 9, 9, 9, 9, 1) for n in range(220)]
        with pytest.raises(ResultsError, match=r"cannot write to .*No space left"):
            write(path, rows)
        assert [entry.name for entry in small_disk.iterdir()] == ["scores.parquet.part.jsonl"]
        subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
        write(path, rows, resume=True)
        assert read_results(path)[1] == rows
