"""Promises of docs/scoring.md and docs/reliability.md about scores: rows, resuming, exit codes, whole files."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal
from photos import photo_like, save_corrupt, save_grey
from plain_metrics import Bright
from torchvision.transforms.functional import to_pil_image

from clipiqa_pyiqa import read_scores, score_paths

SIZES = ["width", "height", "scored_width", "scored_height"]
FACTS = [*SIZES, "exif_orientation", "converted", "flag", "kind", "error", "stamp"]
MINI = "-b mini --device cpu"


def save_photos(folder, count, size=(48, 40)):
    """Different photos, ``0.png``, ``1.png``, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(photo_like(size[1], size[0], count)):
        to_pil_image(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    return save_photos(tmp_path / "photos", 4)


def rows_of(file):
    return pandas.read_csv(file).set_index("path")


# Rows and columns


def test_a_result_has_the_pages_columns_in_every_format(clipiqa, photos):
    frames = {}
    for suffix, read in {
        "csv": pandas.read_csv,
        "jsonl": lambda file: pandas.read_json(file, lines=True),
        "parquet": pandas.read_parquet,
    }.items():
        clipiqa(f"score photos {MINI} --prompts quality 'Crisp photo.|Hazy photo.' --out s.{suffix}", 0)
        frames[suffix] = read(f"s.{suffix}")
        scale = ["scale"] if suffix == "csv" else []
        expected = ["path", "quality", "Crisp photo.|Hazy photo.", *FACTS, *scale, "metric"]
        assert list(frames[suffix]) == expected
        assert len(read_scores(f"s.{suffix}").frame) == 4
    first, *others = [frame[["path", "quality", "Crisp photo.|Hazy photo.", "width"]] for frame in frames.values()]
    for other in others:
        assert_frame_equal(first, other, check_dtype=False)


def test_provenance_says_which_clipiqa_it_is_and_which_end_is_good(clipiqa, photos):
    clipiqa(f"score photos {MINI} --out s.csv", 0)
    (record,) = json.loads(Path("s.csv.provenance.json").read_text())["columns"].values()
    assert record["backbone"] == "mini" and record["questions"] == [["Good photo.", "Bad photo."]]
    assert record["lower_better"] is False and record["range"] == [0, 1] and len(record["weights_sha256"]) == 64
    assert set(pandas.read_csv("s.csv")["scale"].str.split(":").str[:3].map(tuple)) == {("quality", "+", "0..1")}


def test_the_direction_goes_with_a_copy_of_the_file(clipiqa, photos):
    Path("judge.csv").write_text("path,score\n" + "".join(f"photos/{n}.png,{n}\n" for n in range(4)))
    clipiqa("score photos -m judge.csv:lower_better=true entropy --out s.csv --device cpu", 0)
    Path("copy.csv").write_bytes(Path("s.csv").read_bytes())
    said = clipiqa("rank copy.csv --by judge --best 1 --paths", 0).out
    assert said == "photos/0.png\n"


def test_a_photo_that_cannot_be_scored_is_a_row_with_its_reason_and_the_exit_code_is_1(clipiqa, photos):
    (photos / "empty.png").touch()
    save_corrupt(photos / "half.png")
    save_grey(photos / "small.png", 9, (16, 16))
    clipiqa(f"score photos {MINI} --out s.csv", 1, "half.png", "empty.png", "small.png")
    rows = rows_of("s.csv")
    kinds = rows["kind"].dropna().to_dict()
    assert kinds == {"photos/empty.png": "empty", "photos/half.png": "damaged", "photos/small.png": "too small"}
    assert rows["quality"].isna().sum() == rows["error"].notna().sum() == 3


def test_a_photo_that_was_repaired_is_scored_by_the_next_run(clipiqa, photos):
    whole = (photos / "0.png").read_bytes()
    (photos / "0.png").write_bytes(whole[:50])
    clipiqa(f"score photos {MINI} --out s.csv", 1)
    (photos / "0.png").write_bytes(whole)
    clipiqa(f"score photos {MINI} --out s.csv --resume", 0)
    assert rows_of("s.csv")["quality"].notna().all()


def test_conversions_and_flags_are_in_the_row(clipiqa, photos):
    to_pil_image(photo_like(40, 48)[0]).convert("L").save(photos / "grey.png")
    save_grey(photos / "black.png", 2)
    save_grey(photos / "white.png", 253)
    save_grey(photos / "uniform.png", 120)
    clipiqa(f"score photos {MINI} --out s.csv", 0)
    rows = rows_of("s.csv")
    assert rows.loc["photos/grey.png", "converted"] == "grey->rgb"
    flags = {Path(path).stem: flag for path, flag in rows["flag"].dropna().items()}
    assert flags == {"black": "almost black", "white": "almost white", "uniform": "almost uniform"}


def test_large_photos_shrink_as_asked_and_the_row_says_so(clipiqa, tmp_path):
    save_photos(tmp_path / "photos", 1, (120, 80))
    clipiqa(f"score photos {MINI} --max-side 60 --out s.csv", 0)
    (row,) = rows_of("s.csv").to_dict("records")
    assert [row[name] for name in SIZES] == [120, 80, 60, 40]


@pytest.mark.parametrize("flag, end", [("", "\n"), ("-0", "\0")])
def test_a_list_of_names_comes_from_standard_input(clipiqa, photos, monkeypatch, flag, end):
    names = end.join(["photos/2.png", "photos/0.png", ""])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
    lines = clipiqa(f"score - {flag} -m entropy --device cpu --format csv", 0).out.splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["photos/2.png", "photos/0.png"]


def test_a_control_character_in_a_name_reaches_no_terminal(clipiqa, tmp_path):
    save_photos(tmp_path / "photos", 1)
    (tmp_path / "photos/0.png").rename(tmp_path / "photos/\x1b[31m.png")
    (tmp_path / "photos/\x1b[2J.png").touch()
    ran = clipiqa("score photos -m entropy --device cpu", 1)
    assert "\x1b" not in ran.out + ran.err and "[31m.png" in ran.out


# Resuming

calls = []


class Counted(Bright):
    """Notes each image that it scores."""

    def __call__(self, x):
        calls.append(len(x))
        return super().__call__(x)


def test_a_finished_run_scores_nothing_again_and_changes_no_score(clipiqa, photos):
    clipiqa(f"score photos {MINI} --out s.csv", 0)
    before = rows_of("s.csv")
    clipiqa(f"score photos {MINI} --out s.csv --resume", 0)
    assert_frame_equal(rows_of("s.csv"), before)


def test_a_replaced_photo_is_scored_again_and_no_other(clipiqa, photos):
    for expected in (4, 0, 1):
        calls.clear()
        score_paths({"bright": Counted()}, "photos", out="s.csv", resume=True, device="cpu", workers=1).run()
        assert sum(calls) == expected
        if expected == 0:
            save_grey(photos / "1.png", 200, (64, 48))
    rows = rows_of("s.csv")
    assert rows.loc["photos/1.png", ["width", "bright"]].tolist() == pytest.approx([64, 200 / 255])


@pytest.mark.parametrize("change", ["deleted", "renamed"])
def test_a_photo_that_is_gone_is_named_until_it_is_dropped(clipiqa, photos, change):
    clipiqa(f"score photos {MINI} --out s.csv", 0)
    before = rows_of("s.csv")["quality"]
    photo = photos / "2.png"
    if change == "deleted":
        photo.unlink()
    else:
        photo.rename(photos / "new.png")
    clipiqa(f"score photos {MINI} --out s.csv --resume", 1, "photos/2.png", "--drop-vanished")
    assert "photos/2.png" in rows_of("s.csv").index  # its row stays until then
    clipiqa(f"score photos {MINI} --out s.csv --resume --drop-vanished", 0)
    rows = rows_of("s.csv")["quality"]
    assert "photos/2.png" not in rows.index and len(rows) == (3 if change == "deleted" else 4)
    if change == "renamed":
        assert rows["photos/new.png"] == pytest.approx(before["photos/2.png"], abs=1e-6)
    kept = [f"photos/{number}.png" for number in (0, 1, 3)]
    assert rows[kept].equals(before[kept])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_metric_is_added_and_earlier_scores_stay(clipiqa, photos, suffix):
    clipiqa(f"score photos -m mini --device cpu --out s.{suffix}", 0)
    before = read_scores(f"s.{suffix}").frame
    clipiqa(f"score photos -m mini entropy 'sharp=mini:prompts=sharpness' --device cpu --out s.{suffix} --resume", 0)
    after = read_scores(f"s.{suffix}").frame
    assert set(after) == {"mini", "entropy", "sharp"} and after["mini"].equals(before["mini"])
    assert after.notna().all(axis=None)


def test_another_option_is_refused_with_its_name_unless_scores_may_be_replaced(clipiqa, photos):
    clipiqa(f"score photos {MINI} --out s.csv", 0)
    before = Path("s.csv").read_bytes()
    clipiqa(f"score photos {MINI} --max-side 40 --out s.csv --resume", 2, "max_side")
    clipiqa(f"score photos {MINI} --out s.csv", 2, "exists")
    assert Path("s.csv").read_bytes() == before
    clipiqa(f"score photos {MINI} --max-side 40 --out s.csv --resume --overwrite", 0)
    assert set(rows_of("s.csv")["scored_width"]) == {40}


def test_other_words_are_refused_unless_scores_may_be_replaced(clipiqa, photos):
    clipiqa("score photos -m 'x=mini:prompts=quality' --device cpu --out s.csv", 0)
    before = Path("s.csv").read_bytes()
    clipiqa("score photos -m 'x=mini:prompts=sharpness' --device cpu --out s.csv --resume", 2, "'x'")
    assert Path("s.csv").read_bytes() == before
    clipiqa("score photos -m 'x=mini:prompts=sharpness' --device cpu --out s.csv --resume --overwrite", 0)
    assert "Sharp photo." in Path("s.csv").read_text()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_damaged_result_is_refused_and_stays_as_it_is(clipiqa, photos, suffix):
    file = Path(f"s.{suffix}")
    clipiqa(f"score photos {MINI} --out {file}", 0)
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])
    before = file.read_bytes()
    clipiqa(f"score photos {MINI} --out {file} --resume", 2, file.name)
    assert file.read_bytes() == before


def test_a_file_that_is_no_result_is_refused_and_stays_as_it_is(clipiqa, photos):
    Path("s.csv").write_text("path,taste\nphotos/0.png,3\n")
    clipiqa(f"score photos {MINI} --out s.csv --resume", 2, "s.csv")
    assert Path("s.csv").read_text() == "path,taste\nphotos/0.png,3\n"


def test_while_a_run_writes_another_one_is_refused(clipiqa, photos):
    with score_paths({"bright": Bright()}, "photos", out="s.csv", device="cpu", workers=1) as run:
        next(run)
        clipiqa("score photos -m entropy --device cpu --out s.csv --resume", 2, "s.csv")
        assert not Path("s.csv").exists()  # a file is whole, or not there
    score_paths({"bright": Bright()}, "photos", out="s.csv", resume=True, device="cpu", workers=1).run()
    assert len(rows_of("s.csv")) == 4


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_written_rows_of_an_interrupted_run_are_kept(photos, suffix, tmp_path):
    file = tmp_path / f"s.{suffix}"
    options = {"out": file, "resume": True, "device": "cpu", "workers": 1}
    with score_paths({"bright": Counted()}, photos, **options) as run:
        early = {next(run).path, next(run).path}
    calls.clear()
    score_paths({"bright": Counted()}, photos, **options).run()
    assert len(calls) == 2 == len(early)
    assert read_scores(file).frame["bright"].notna().sum() == 4


# Processes


def environment(**more):
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"} | more


def start(line, folder):
    words = [sys.executable, "-m", "clipiqa_pyiqa", *line.split()]
    return subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_rows(folder, count):
    """Wait until something of that many rows is written beside ``s.csv``."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        journals = [path.read_bytes() for path in folder.glob("s.csv*") if path.is_file() and "part" in path.name]
        if any(journal.count(b"\n") > count for journal in journals):
            return
        time.sleep(0.01)
    raise AssertionError("no row was written")


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_was_ended_continues_and_equals_an_undisturbed_one(clipiqa, tmp_path, number, code):
    save_photos(tmp_path / "photos", 60, (400, 300))
    line = f"score photos {MINI} --batch-size 1 --threads 1"
    process = start(f"{line} --out s.csv", tmp_path)
    wait_for_rows(tmp_path, 3)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == code and b"Traceback" not in said
    clipiqa(f"{line} --out s.csv --resume", 0)  # and the lock of a killed run does not block
    clipiqa(f"{line} --out undisturbed.csv", 0)
    assert_frame_equal(rows_of("s.csv").sort_index(), rows_of("undisturbed.csv").sort_index())
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {
        "photos",
        *(f"{name}.csv{end}" for name in ("s", "undisturbed") for end in ("", ".provenance.json")),
    }


@pytest.mark.slow
def test_a_full_disk_ends_with_a_sentence_and_keeps_written_rows(clipiqa, photos, small_disk):
    save_photos(photos, 300)
    (small_disk / "filler").write_bytes(bytes(40_000))
    ran = clipiqa(f"score photos {MINI} --out {small_disk}/s.csv", 2, "space")
    assert ran.err.count("\n") < 4
    (small_disk / "filler").unlink()
    Path("kept").mkdir()
    for path in small_disk.iterdir():
        if path.is_file():
            Path("kept", path.name).write_bytes(path.read_bytes())
    clipiqa(f"score photos {MINI} --out kept/s.csv --resume", 0)
    assert len(rows_of("kept/s.csv")) == 300


# Bad usage


BAD = {
    "": "PATH",
    "nowhere": "nowhere",
    "photos -b RN51": "RN51",
    "photos --prompts sharpnes": "sharpness",
    "photos --promts quality": "--prompts",
    "photos --device cuda:9": "cuda:9",
    "photos --max-side many": "many",
    "photos --max-side 8": "max_side",
    "photos --out s.xls": "s.xls",
    "photos --out nofolder/s.csv": "nofolder",
    "photos -m nosuchmetric": "nosuchmetric",
    "photos -m lpips": "lpips",
    "photos --template nothing": "template",
    "photos --learned-prompts photos/0.png": "0.png",
    "photos -c nothing.yml": "nothing.yml",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_usage_ends_with_2_and_names_what_was_wrong(clipiqa, photos, options):
    ran = clipiqa(f"score {options} {'' if '-b' in options or not options else '-b mini'}", 2)
    assert BAD[options].replace("_", "-") in ran.err.replace("_", "-") and ran.err.count("\n") <= 2 and not ran.out


def test_options_may_stand_in_a_yaml_file_and_the_command_line_wins(clipiqa, photos):
    Path("o.yml").write_text("backbone: mini\nmax_side: 40\nprompts: [sharpness]\n")
    clipiqa("score photos -c o.yml --device cpu --out s.csv --max-side 44", 0)
    rows = rows_of("s.csv")
    assert set(rows["scored_width"]) == {44} and "sharpness" in rows


# Python


def test_rows_frames_and_files_say_the_same(photos, tmp_path):
    run = score_paths({"bright": Bright()}, photos, out=tmp_path / "s.csv", device="cpu", workers=1)
    rows = list(run)
    frame = run.frame()
    assert [row.scores[0] for row in rows] == pytest.approx(frame["bright"].tolist(), abs=1e-6)
    assert np.allclose(pandas.read_csv(tmp_path / "s.csv")["bright"], frame["bright"])
