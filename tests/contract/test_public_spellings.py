"""An image is one row of a continued file, however its path is written."""

import shutil

import pandas
import pytest
from photos import save_grey
from shard_makers import samples, save_tar

from clipiqa_pyiqa import CLIPIQA, radar, read_scores, score_paths

OPTIONS = {"device": "cpu", "workers": 1}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save_grey(tmp_path / f"ph/{number}.png", 40 * number + 9)
    return tmp_path


def names(folder, *numbers):
    return [f"{folder}/{number}.png" for number in numbers]


@pytest.mark.quick
@pytest.mark.parametrize("out", ["s.csv", "s.jsonl", "s.parquet"])
def test_an_image_is_one_row_whatever_its_spelling(photos, out):
    before = score_paths(["entropy"], "ph", out=out, **OPTIONS).frame()["entropy"].tolist()
    for folder in ("./ph", photos / "ph", "ph", f"../{photos.name}/ph"):
        run = score_paths(["entropy"], str(folder), out=out, resume=True, **OPTIONS)
        assert (run.tally.unchanged, run.count) == (3, 0)
        run.run()
        frame = read_scores(out).frame
        assert [*frame.index] == names(folder, 0, 1, 2) and frame["entropy"].tolist() == before


def test_a_changed_image_and_a_new_one_have_one_row_each(photos):
    score_paths(["entropy"], "ph", out="s.csv", **OPTIONS).run()
    shutil.copy("ph/0.png", "ph/2.png")
    shutil.copy("ph/1.png", "ph/3.png")
    run = score_paths(["entropy"], "./ph", out="s.csv", resume=True, **OPTIONS)
    assert [row.path for row in run] == names("./ph", 2, 3)
    frame = pandas.read_csv("s.csv").set_index("path")
    assert [*frame.index] == names("./ph", 0, 1, 2, 3) and frame["entropy"].iloc[2] == frame["entropy"].iloc[0]


def test_a_journal_knows_the_image_too(photos):
    run = score_paths(["entropy"], "ph", out="s.csv", **OPTIONS)
    next(run)
    run.close()
    score_paths(["entropy"], f"{photos}/ph", out="s.csv", resume=True, **OPTIONS).run()
    assert pandas.read_csv("s.csv")["path"].tolist() == names(photos / "ph", 0, 1, 2)


def test_rows_of_images_that_the_run_does_not_name_stay(photos):
    score_paths(["entropy"], "ph", out="s.csv", **OPTIONS).run()
    score_paths(["entropy"], ["./ph/1.png"], out="s.csv", resume=True, **OPTIONS).run()
    assert pandas.read_csv("s.csv")["path"].tolist() == ["ph/0.png", "./ph/1.png", "ph/2.png"]


def test_members_of_a_shard_are_one_row(photos):
    save_tar(photos / "shards/a.tar", samples([10, 20]))
    score_paths(["entropy"], "shards/a.tar", out="s.csv", **OPTIONS).run()
    run = score_paths(["entropy"], f"{photos}/shards/a.tar", out="s.csv", resume=True, **OPTIONS)
    run.run()
    found = pandas.read_csv("s.csv")["path"]
    assert run.tally.unchanged == len(found) == 2 and found.str.startswith(f"{photos}/shards/a.tar::").all()


def test_an_experiment_finds_its_images_under_other_names(photos):
    for folder in ("ph", photos / "ph"):
        result = radar(CLIPIQA(backbone="mini"), str(folder), out="out", resume=True, **OPTIONS)
        assert [*result.scores.frame.index] == names(folder, 0, 1, 2) and result.scores.frame.notna().all().all()
