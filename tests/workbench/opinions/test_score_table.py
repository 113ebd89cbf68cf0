"""Tables of scores: which columns and lines are read, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pyiqa
import pytest
from assertions import refused

from clipiqa_pyiqa.workbench.files.csv_files import read_rows
from clipiqa_pyiqa.workbench.opinions.score_table import find_score_table, read_score_table
from clipiqa_pyiqa.workbench.opinions.table_file import OpinionFile, read_opinions

pytestmark = pytest.mark.quick


def written(folder, text):
    path = folder / "scores.csv"
    path.write_text(text)
    return path


def test_quotes_and_line_numbers(tmp_path):
    text = 'path,score\na.png,1\n\n#1.png,2\n"c\n.png",3\nd.png,good\n'
    rows, header = read_rows(written(tmp_path, text))
    assert header == ["path", "score"]
    assert [(line, row["path"]) for line, row in rows] == [(2, "a.png"), (4, "#1.png"), (6, "c\n.png"), (7, "d.png")]


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    for text, named in {
        "path,score\na.png,1\nb.png,good\n": "line 3: the score 'good'",
        "path,score\na.png,nan\n": "line 2: the score 'nan'",
        "path,score\n# never dropped in silence\n": "line 2: expected 2 columns",
        "path,score,score\na.png,1,2\n": "'score'",
        'path,score\na.png,1\nb.png,"2': "unexpected end",  # cut off inside of quotes
        "path,score\n": "no rows",
        "path,score,split\na.png,1,dev\n": "'dev'",
        "path,score\na.png,3\nb.png,3\n": "must differ",
        "path,score\na.png,3\nb.png,9\n": "range from 0",
        "path,score\na.png,3\nb.png,4\n": "2 of 2 images",
        "image,quality\na.png,3\n": "'image', 'quality'; say which with `col",
        "image,DMOS\na.png,3\n": "which with `lower_better`",
        "path,score,scale,metric\na.png,1,{},clipiqa\n": "not opinions",
    }.items():
        score_range = None if "differ" in named else (0, 5)
        assert named in refused(read_score_table, written(tmp_path, text), score_range=score_range)


def test_a_scale_without_ends_is_refused(tmp_path):
    path = written(tmp_path, "path,score\na.png,3\nb.png,4\n")
    assert "score_range" in refused(read_score_table, path, score_range=(-math.inf, math.inf))


def test_an_unknown_data_set_is_answered_with_similar_names():
    refused(find_score_table, "koniq10")


def test_what_is_read_as_an_opinion(tmp_path):
    notes = []
    for text, options in {
        "Image name,Mean Opinion Score\na.png,4\n": {},  # as real data sets have it
        "img-name,mos_quality\na.png,4\n": {},
        "dist_img,ref_img,quality_mos\na.png,b.png,4\n": {},
        "path,mos\na.png,4\n": {"root": tmp_path / "photos\udcff"},  # no UTF-8
        "path,score,opinion,scale,metric\na.png,1,4,,\n": {},  # an opinion wins over a score, and is named
        "path,dmos\na.png,4\n": {"lower_better": False},
    }.items():
        opinions = read_opinions(OpinionFile(written(tmp_path, text), **options))
        assert opinions.paths == (str(options.get("root", tmp_path) / "a.png"),)
        assert opinions.scores == (4,)
        notes += opinions.notes_on_columns
    (note,) = notes
    assert "'opinion' is read, not 'score'" in note


def test_scores_become_shares_and_rows_get_splits(tmp_path, caplog):
    for number in range(15):
        (tmp_path / f"{number}.png").write_text(str(number))
    path = written(tmp_path, "path,score\n" + "".join(f"{number}.png,{number}\n" for number in range(15)))
    table = read_score_table(path, score_range=(0, 20), lower_better=True, seed=3)
    assert table.frame["target"].tolist() == pytest.approx([1 - number / 20 for number in range(15)])
    assert len(table.part("val")) == 3 and table.part("val")["path"].equals(
        read_score_table(path, seed=3).part("val")["path"]
    )
    (tmp_path / "4.png").unlink()
    with_missing = read_score_table(path, skip_missing=True)
    assert len(with_missing.frame) == 14 and not caplog.records
    with_missing.log_notes()
    assert f"left out: 1 missing image: '{tmp_path}/4.png'" in caplog.text
    assert "(left out: 1 missing image: " in refused(read_score_table, path, skip_missing=True, val_fraction=0)
    for score_range in (None, (0, 20)):
        error = refused(read_score_table, path, root=tmp_path / "nowhere", skip_missing=True, score_range=score_range)
        assert "no image to learn from (left out: 15 missing images: " in error
    flat = "".join(f"{n}.png,{min(n, 5)},{'train' if n < 5 else 'val'}\n" for n in range(9))
    refused(read_score_table, written(tmp_path, f"path,score,split\n{flat}"), skip_missing=True)


def test_a_missing_photo_that_several_people_rated_is_one_missing_image(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    path = written(tmp_path, "path,score\na,1\nb,2\nc,3\nz,3\nz,4\n")
    table = read_score_table(path, skip_missing=True, val_fraction=0, needed=("train",))
    assert table.further_ratings == 0
    (note,) = table.left_out
    assert note.startswith("1 missing image: ") and note.count("z") == 1


def test_the_usual_range_is_that_of_the_training_images(tmp_path):
    """An extreme score of an image that is held out, or missing, does not change what is learned."""
    for number in range(12):
        (tmp_path / f"{number}.png").write_text(str(number))
    splits = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    lines = [f"{n}.png,{n},{split}\n" for n, split in enumerate(splits)]
    lines.append("gone.png,900,train\n")
    targets = []
    for extreme in (11, 500):
        lines[11] = f"11.png,{extreme},test\n"
        table = read_score_table(written(tmp_path, f"path,score,split\n{''.join(lines)}"), skip_missing=True)
        assert table.score_range == (0, 5)
        targets.append(table.part("train")["target"].tolist())
        assert table.part("test")["target"].iloc[-1] == extreme / 5
    assert targets[0] == targets[1] == [n / 5 for n in range(6)]
    drawn = read_score_table(
        written(tmp_path, "path,score\n" + "".join(f"{n}.png,{n}\n" for n in range(12))), val_fraction=0.3
    )
    assert drawn.score_range == (drawn.part("train")["score"].min(), drawn.part("train")["score"].max())


def grouped(folder, header):
    """Forty images in ten groups."""
    lines = [header]
    for group, size in enumerate((1, 8, 3, 3, 5, 2, 4, 6, 4, 4)):
        for copy in range(size):
            (folder / f"{group}-{copy}.png").write_text(f"{group} {copy}")
            lines.append(f"r{group},{group}-{copy}.png,{group + copy / 10}")
    return written(folder, "\n".join(lines))


def test_a_random_split_keeps_groups_together_and_its_share(tmp_path):
    for header, group in [("name,path,score", "name"), ("ref_img,dist_img,mos", None)]:
        path = grouped(tmp_path, header)
        for seed in range(5):
            table = read_score_table(path, group=group, val_fraction=0.25, seed=seed)
            assert (table.frame.groupby("group")["split"].nunique() == 1).all()
            assert abs(len(table.part("val")) - 10) <= 4  # a quarter of 40, to half of the largest group


@pytest.mark.parametrize("name", ["tid2013", "csiq"])
def test_pyiqas_full_reference_sets_are_read_with_their_references_as_groups(tmp_path, name):
    info = pyiqa.get_dataset_info()[name]
    table, folder = (tmp_path.joinpath(*Path(info[key]).parts[1:]) for key in ("meta_info_file", "dataroot_target"))
    table.parent.mkdir(parents=True)
    folder.mkdir(parents=True)
    low, high = info["mos_range"]
    scores = np.linspace(low, high, 21)[:20]
    lines = ["ref_name,dist_name,mos"]
    for number, score in enumerate(scores):
        (folder / f"{number}.png").write_text(str(number))
        lines.append(f"{number // 4}_ref.png,{number}.png,{score}")
    table.write_text("\n".join(lines))
    found = find_score_table(name, data_root=tmp_path).frame
    assert found["path"][1] == str(folder / "1.png") and found["group"].nunique() == 5
    share = 5 / 20
    assert found["target"][5] == pytest.approx(1 - share if info.get("lower_better") else share)
    assert (found["split"] == "val").sum() == 4
