"""Any tool's scores beside ours: in score, compare and table, without an image being read for them."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from assertions import refused
from photos import BUNDLED, save_grey
from shard_makers import samples, save_tar

from clipiqa_pyiqa import compare, read_scores, score_images, score_paths, table

OPTIONS = {"device": "cpu", "workers": 1}


def save_deqa(scores):
    rows = (f"/gpu/out/{n}.jpg,{score}\n" for n, score in enumerate(scores))
    Path("deqa.csv").write_text("file,score\n" + "".join(rows) + ",\n")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Six grey images, their opinions, and another tool's scores, which name them with other folders and suffixes."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    (tmp_path / "mos.csv").write_text("image,mos\n" + "".join(f"photos/{n}.png,{n}\n" for n in range(6)))
    save_deqa(range(9, 3, -1))
    return tmp_path


DEQA = "deqa=deqa.csv:lower_better=true"


def test_scores_of_a_file_stand_beside_ours(photos, clipiqa):
    score = f"score photos -m entropy {DEQA} --out s.csv --device cpu"
    clipiqa(score, 0)
    found = pandas.read_csv("s.csv").set_index("path")
    assert found["deqa"].tolist() == [9, 8, 7, 6, 5, 4] and found["entropy"].notna().all()
    record = json.loads((photos / "s.csv.provenance.json").read_text())["columns"]["deqa"]
    assert record["file"] == "deqa.csv" and len(record["sha256"]) == 64 and record["lower_better"]
    assert clipiqa(f"score photos -m {DEQA} --format csv -q").out.splitlines()[1].startswith("photos/0.png,9.0,")
    clipiqa(f"{score} --resume".replace("true", "false"), 2, "lower_better=True")
    save_deqa(range(5))
    clipiqa(f"{score} --resume", 1, "deqa has no score for 1 image, such as 'photos/5.png'")
    again = pandas.read_csv("s.csv").set_index("path")
    assert again["deqa"].tolist()[:5] == [0, 1, 2, 3, 4] and np.isnan(again["deqa"].iloc[5])
    pandas.testing.assert_series_equal(again["entropy"], found["entropy"])


def failures(path):
    rows = read_scores(path).other[["kind", "error"]].astype(object).fillna("")
    return dict(zip(rows.index, zip(rows["kind"], rows["error"], strict=True), strict=True))


@pytest.mark.parametrize("out", ["s.csv", "s.jsonl", "s.parquet"])
@pytest.mark.slow
def test_a_row_that_lacks_a_score_says_so_until_it_has_one(photos, clipiqa, out):
    (photos / "photos/bad.png").write_bytes(b"no image")
    save_deqa(range(5))
    command = f"score photos -m entropy {DEQA} --out {out} --device cpu"
    ran = clipiqa(command, 1, "6 scored, 1 failed", "deqa has no score for 2 images, such as 'photos/5.png'")
    lack = "'photos/5.png' has no score in the file of 'deqa'."
    found = failures(out)
    assert found["photos/5.png"] == ("not in file", lack) and lack not in ran.err  # which names the first of all
    kind, error = found["photos/bad.png"]
    assert kind == "not an image" and error.endswith("'photos/bad.png' has no score in the file of 'deqa'.")
    assert not any(found["photos/4.png"])
    before = Path(out).read_bytes()
    clipiqa(f"{command} --resume", 1)
    assert Path(out).read_bytes() == before
    clipiqa(f"score photos -m piqe --out {out} --resume --device cpu")
    assert failures(out)["photos/5.png"] == ("not in file", lack)
    with open("deqa.csv", "a") as file:
        file.write("5.jpg,5\nbad.jpg,6\n")
    clipiqa(f"{command} --resume", 1, "0 scored")
    found = failures(out)
    assert not any(found["photos/5.png"]) and found["photos/bad.png"] == (kind, error.partition(". ")[0] + ".")


def test_a_row_that_is_printed_says_what_it_lacks(photos, clipiqa):
    save_deqa(range(5))
    printed = clipiqa(f"score photos -m {DEQA} --format csv --device cpu", 1).out
    assert "not in file,'photos/5.png' has no score in the file of 'deqa'.," in printed.splitlines()[-1]
    (row,) = (row for row in score_paths(["entropy", DEQA], "photos", **OPTIONS) if row.path == "photos/5.png")
    assert row.kind == "not in file" and row.scores[0] is not None and row.scores[1] is None


def test_an_image_that_only_lacks_a_score_is_no_unread_image(photos):
    save_deqa(range(5))
    found = compare(DEQA, "photos", out="out", **OPTIONS)
    assert not found.data_sets[0].skipped and "no number for" in found.data_sets[0].metrics["deqa"].note


def test_each_row_names_backbone_and_weights_beside_other_metrics(photos, clipiqa):
    clipiqa("score photos -m mini --out one.csv --device cpu -q", 0)
    clipiqa(f"score photos -m entropy mini {DEQA} --out s.csv --device cpu -q", 0)
    clipiqa("score photos -b mini -p sharpness quality -m entropy --out two.csv --device cpu -q", 0)
    tables = [pandas.read_csv(name) for name in ("one.csv", "s.csv", "two.csv")]
    (alone,), (several,), (two,) = (table["metric"].unique() for table in tables)
    assert alone.startswith("clipiqa, mini, bundled ") and several == f"entropy; {alone}; score"
    assert two.startswith("clipiqa, mini, bundled ") and "Sharp photo.|" in two and two.endswith("; entropy")


@pytest.mark.parametrize("out", ["s.csv", "s.parquet"])
def test_scores_that_our_own_file_has_gained_are_joined(photos, clipiqa, out):
    for names in ("0.png photos/1.png", ""):
        clipiqa(f"score photos/{names} -m entropy --out own.csv --resume --device cpu", 0)
        clipiqa(f"score photos -m entropy own=own.csv --out {out} --resume --device cpu", int(bool(names)))
    assert read_scores(out).frame["own"].notna().all()


def test_joined_scores_of_images_that_a_later_run_does_not_name_stay(photos, clipiqa):
    save_deqa(range(6))
    for names in (f"0.png photos/{n}.png" for n in (1, 2)):
        clipiqa(f"score photos/{names} -m entropy {DEQA} --out s.csv --resume --device cpu", 0)
    assert pandas.read_csv("s.csv")["deqa"].tolist() == [0, 1, 2]


def test_scores_of_a_file_are_joined_to_images_in_shards(photos, clipiqa):
    for name in "ab":
        save_tar(photos / f"shards/{name}.tar", samples([10, 20]))
    (photos / "deqa.csv").write_text("file,score\n/a.tar::0001.jpg,1\n/b.tar::0000.jpg,2\n/b.tar::0001.jpg,3\n")
    score = "score shards --device cpu -m"
    clipiqa(f"{score} entropy --out first.csv", 0)
    for asked, out in ((f"{DEQA} --resume", "first.csv"), (f"entropy {DEQA}", "once.csv")):
        ran = clipiqa(
            f"{score} {asked} --out {out}", 1, "deqa has no score for 1 image, such as 'shards/a.tar::0000.png'"
        )
        assert "deqa 0" not in ran.err
        found = pandas.read_csv(out)
        assert found["deqa"].fillna(0).tolist() == [0, 1, 2, 3] and found["entropy"].notna().all()


def test_no_image_is_read_for_scores_of_a_file(photos):
    for path in (photos / "photos").iterdir():
        path.write_bytes(b"")  # could not be read
    rows = list(score_paths([DEQA], "photos", out="s.csv", device="cpu"))
    assert [row.scores for row in rows] == [(9 - n,) for n in range(6)] and not any(row.error for row in rows)
    found = compare(DEQA, "mos.csv", bootstrap=0, **OPTIONS)
    row = found.frame().iloc[0]
    assert (row["SROCC"], row["n"], row["direction"]) == (1.0, 6, "lower") and found.is_complete


def test_another_metric_is_added_to_scores_of_a_file(photos):
    list(score_paths([DEQA], "photos", out="s.csv", device="cpu"))
    save_grey(photos / "photos/6.png", 200)
    list(score_paths([DEQA], "photos", out="s.csv", resume=True, device="cpu"))
    assert len(pandas.read_csv("s.csv")) == 7
    list(score_paths(["entropy", DEQA], "photos", out="s.csv", resume=True, device="cpu"))
    found = pandas.read_csv("s.csv")
    assert found["entropy"].notna().all() and found["deqa"].notna().sum() == 6 and found["width"].notna().all()


def test_a_judge_of_another_environment_stands_in_a_comparison(photos):
    save_deqa(range(9, 5, -1))
    found = compare(["entropy", DEQA], "mos.csv", bootstrap=0, out="out", **OPTIONS)
    assert not found.is_complete and all(f"photos/{n}.png'" in found.table() for n in (4, 5))
    assert found.frame().set_index("metric").loc["deqa", "n"] == 4
    kept = pandas.read_parquet("out/scores/mos.parquet")
    assert kept["deqa"].notna().sum() == 4 and kept["entropy"].notna().all()


def test_files_are_refused_where_they_cannot_be_joined(photos):
    refused(score_images, [DEQA], str(BUNDLED / "canyon-wren.jpg"))
    refused(table, {"a": "photos"}, "{method}.csv:lower_better=true", **OPTIONS)


def test_an_old_score_is_not_joined_to_a_photo_that_was_replaced(photos, clipiqa):
    clipiqa("score photos -m entropy --out own.csv --device cpu", 0)
    save_grey(photos / "photos/3.png", 200, (70, 50))
    said = clipiqa("score photos -m own=own.csv --format csv", 1, "'photos/3.png'").out
    assert said.splitlines()[4].startswith("photos/3.png,,")
