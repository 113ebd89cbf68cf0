"""``clipiqa score``: what the paths stand for, options, exit codes."""

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from photos import save_grey
from PIL import Image
from result_files import read_results
from shard_makers import samples, save_tar

from clipiqa_pyiqa.workbench.sources.finding import find_sources


@pytest.fixture
def folder(tmp_path):
    """Three images of grey levels 0, 51, 102, scores 0, 0.2, 0.4; files that are none; and hidden ones."""
    for name, grey in {"a.png": 0, "b.JPG": 51, "sub/c.webp": 102, ".hidden.png": 9, ".thumbnails/d.png": 9}.items():
        save_grey(tmp_path / "photos" / name, grey, (40, 40))
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def score(standin, clipiqa, folder):
    """Runs ``clipiqa score`` with the stand-in metric, beside ``photos/``."""
    return lambda words, *said: clipiqa(f"score {words}", *said)


def rows(path):
    return [(Path(row.path).name, row.scores and round(row.scores[0], 4)) for row in read_results(path)[1]]


# Paths


@pytest.mark.parametrize(
    "given, names",
    [
        (["."], ["a.png", "b.JPG", "sub/c.webp"]),  # sorted, without hidden ones
        (["notes.txt", ".hidden.png"], ["notes.txt", ".hidden.png"]),  # a file counts whatever its name
        (["**/?.[Jw]*"], ["b.JPG", "sub/c.webp"]),
        (["holiday[1].png"], ["holiday[1].png"]),  # a file first
        (["b.JPG", "./b.JPG", ".", "a.png"], ["b.JPG", "a.png", "sub/c.webp"]),  # each once, in the order given
    ],
)
def test_paths(folder, monkeypatch, given, names):
    monkeypatch.chdir(folder)
    if "holiday[1].png" in given:
        save_grey(folder / "holiday[1].png", 9)
    assert [os.path.normpath(path) for path in find_sources(given).paths] == names


def test_a_list_on_standard_input(folder, monkeypatch):
    for null, end in [(False, b"\r\n"), (True, b"\0")]:
        listed = [bytes(folder / "sub"), b"", bytes(folder / "a.png")]
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(end.join(listed) + end)))
        assert [Path(path).name for path in find_sources(["-"], null_separated=null).paths] == ["c.webp", "a.png"]


# Results


def test_table_on_standard_output(score):
    ran = score("photos", 0)
    lines = ran.out.splitlines()
    assert lines[0].startswith("# metric brightness, ") and "max_side none" in lines[0]
    assert lines[1].split() == ["quality", "path"]
    assert lines[3].endswith(" (40×40, almost uniform)")
    assert lines[5].split() == ["0.2000", "mean", "of", "3"]
    assert "3 scored, 0 failed" in ran.err and score("photos --quiet").err == ""


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl", "s.parquet"])
def test_files(score, name):
    ran = score(f"photos --out {name} --max-side 64 --no-exif --max-pixels 4000")
    assert (ran.code, ran.out) == (0, "")
    assert rows(name) == [("a.png", 0.0), ("b.JPG", 0.2), ("c.webp", 0.4)]
    said = read_results(name)[0].provenance
    assert set(said["versions"]) == {"clipiqa-pyiqa", "pyiqa", "torch", "open_clip_torch", "pillow"}
    asked = {"apply_exif": False, "max_side": 64, "max_pixels": 4000, "device": "cpu", "damaged": "refuse"}
    assert said.items() >= asked.items()


def test_columns(score):
    asked = "--prompts sharpness pyiqa 'Crisp photo.|Hazy photo.' --prompts Brightness"
    score(f"photos {asked} --out scores.csv", 0)
    header, found = read_results("scores.csv")
    assert header.score_names == ["sharpness", "pyiqa", "Crisp photo.|Hazy photo.", "brightness"]
    assert len(header.columns[1].record["questions"]) == 5
    halves = [0.4 / 2**n for n in range(8)]  # the stand-in's score of each pair
    means = (halves[0], sum(halves[1:6]) / 5, halves[6], halves[7])
    assert found[2].scores == pytest.approx(means, abs=2e-3)  # WebP costs a little of the grey level


# Failures


def test_bad_files_are_reported_counted_and_skipped_and_decide_later_exit_codes_too(score, folder):
    (folder / "bad.png").write_bytes(b"")
    ran = score("photos gone.png --out scores.csv", 1, "3 scored, 2 failed")
    found = {Path(row.path).name: row.error for row in read_results("scores.csv")[1]}
    assert len(found) == 5 and "empty" in found["bad.png"] and "exist" in found["gone.png"]
    assert "photos/bad.png" in ran.err and "gone.png" in ran.err
    score("photos --out scores.csv --resume", 1, "0 scored, 0 failed; 1 failed in the earlier run")


def test_cells_that_a_run_did_not_ask_for_are_counted_by_column_until_they_are_filled(score, folder):
    score("photos -p quality sharpness --out s.csv", 0)
    save_grey(folder / "a.png", 9, (48, 40))
    for _ in range(2):
        score("photos -p quality --out s.csv --resume", 1, "1 cell of sharpness")
    score("photos -p quality sharpness --out s.csv --resume", 0)
    score("photos/b.JPG -p quality happy --out s.csv --resume", 1, "2 cells of happy")


def test_rows_of_files_that_are_gone_are_counted_and_dropped_on_request(score, folder):
    save_grey(folder / os.fsdecode(b"odd\xff.png"), 9, (40, 40))
    score("photos --out scores.csv")
    (folder / "a.png").unlink()
    for more in ("", "--drop-vanished"):
        score(
            f"photos/b.JPG --out scores.csv --resume {more}",
            int(not more),
            "1 image done in an earlier run",
            "1 row of images that are gone",
        )
        assert len(rows("scores.csv")) == (3 if more else 4)
    assert "gone" not in score("photos --out scores.csv --resume").err


def test_a_run_that_cannot_be_resumed_says_what_is_in_its_way(score):
    score("photos --out s.csv", 0)
    score("photos --out s.csv --resume --every 1", 0, "3 images done in an earlier run")  # as 1s
    score("photos --out s.csv --resume --every 2", 2, "sampling was 1s and is now 2s")
    for other in ("jsonl", "parquet"):
        score(
            f"photos --out s.csv --resume --format {other}", 2, f"holds csv, but {other} is asked for", "--format csv"
        )
    provenance = Path("s.csv.provenance.json")
    provenance.write_text("{damaged")
    score("photos --out s.csv --resume", 2, "s.csv' was made is damaged", "as it is, delete s.csv.provenance.json")
    provenance.unlink()
    score("photos --out s.csv --resume", 2, "is missing: pass --overwrite instead of --resume")


def test_members_that_their_shard_has_lost_are_gone_too(score):
    for members in ([9, 90], [9]):
        save_tar(Path("s.tar"), samples(members))
        ran = score("s.tar --out scores.csv --resume")
    assert ran.code == 1 and "1 row of images that are gone" in ran.err and len(rows("scores.csv")) == 2


@pytest.mark.slow
def test_images_of_an_earlier_run_that_are_gone_are_named_and_decide_the_exit_code(clipiqa, tmp_path):
    """Also if their versions, which are no files, are of fewer kinds now."""
    for number in range(8):
        save_grey(tmp_path / f"{'ab'[number % 2]}/{number // 2}.png", 30 * number)
    lines = ["rank a", "pairs a b", "table --methods a=a b=b -m clipiqa", "compare -m clipiqa -d s=a"]
    lines += ["sweep a --steps 3 --scales 1 --changes contrast"]
    for code, more, said in ((0, " brightness", []), (1, "", ["a/0.png", "gone"]), (0, "", [])):
        for line in lines:
            clipiqa(f"{line}{more if 'sweep' in line else ''} -b mini --out {line[:4]} --resume", code, *said)
        for name in "ab":
            (tmp_path / name / "0.png").unlink(missing_ok=True)
    assert len(rows("rank/scores.csv")) == 3


def test_bad_usage(score):
    for words, named in [
        ("gone.png", "'gone.png' does not exist"),
        ("--prompts quality photos", "before --prompts"),
        ("photos --format parquet", "with --out"),
        ("photos --out nowhere/scores.csv", "no folder"),
        ("photos --format csv --out photos/a.png --overwrite", "one of the inputs"),
        ("photos --keep caption", "needs --out"),
        ("photos --out folder", "no known suffix"),
        ("photos --out memory://folder/scores.csv", "only --engine ray"),
        *((f"photos {idle}", "need") for idle in ("-0", "--actors 2", "--engine ray")),
        *((f"photos --engine ray --out folder {idle}", "not go with") for idle in ("--overwrite", "--format csv")),
        ("photos --learned-prompts clipiqa+ --prompts happy", "excludes --prompts"),
        ("photos --device quantum", "cuda:N"),
    ]:
        ran = score(words)
        assert (ran.code, ran.out) == (2, "")
        assert re.match(rf"(clipiqa score: loading .* …\n)?clipiqa score: error: [^\n]*{named}[^\n]*\n\Z", ran.err)


def test_a_bomb_and_the_way_out(score, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40 // 3)
    score("photos", 1, "decompression bombs", "huge")
    score("photos --huge", 0)
