"""A run remembers its rows: whatever is asked of it first, or twice, gives all. An error leaves no lock."""

import itertools

import pandas
import pytest
from assertions import refused
from photos import save_grey

from clipiqa_pyiqa import CLIPIQAError, score_paths

OPTIONS = {"device": "cpu", "workers": 1}

ASK = {
    "run": lambda run: run.run(),
    "a row": lambda run: next(run, None),
    "scores": lambda run: run.scores(),
    "frame": lambda run: run.frame(),
}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save_grey(tmp_path / f"photos/{number}.png", 40 * number + 9)
    (tmp_path / "photos/x.png").write_bytes(b"no image")
    return tmp_path


@pytest.mark.quick
@pytest.mark.parametrize("out", [None, "s.csv", "s.jsonl", "s.parquet"])
def test_each_way_to_ask_gives_all_rows_in_any_order_and_twice(photos, out):
    expected = score_paths(["entropy"], "photos", **OPTIONS).frame()
    assert len(expected) == 4 and expected["entropy"].notna().sum() == 3
    assert expected["error"].str.contains("x.png").sum() == 1 and [*expected] == ["entropy", "flag", "error"]
    for order in itertools.permutations(ASK, 2):
        run = score_paths(["entropy"], "photos", out=out, overwrite=out is not None, **OPTIONS)
        for name in order:
            ASK[name](run)
        for _ in range(2):
            pandas.testing.assert_frame_equal(run.frame(), expected)
            assert run.scores().frame["entropy"].equals(expected["entropy"])


def test_rows_of_an_earlier_run_are_part_of_the_whole(photos):
    score_paths(["entropy"], ["photos/0.png", "photos/1.png"], out="s.csv", **OPTIONS).run()
    run = score_paths(["entropy"], ["photos/1.png", "photos/2.png"], out="s.csv", resume=True, **OPTIONS)
    assert next(run).path == "photos/2.png"
    assert [*run.frame().index] == [*run.scores().frame.index] == ["photos/1.png", "photos/2.png"]


def test_an_image_that_is_named_twice_has_two_rows(photos):
    frame = score_paths(["entropy"], ["photos/0.png", "photos/0.png"], **OPTIONS).frame()
    assert [*frame.index] in (["photos/0.png"], ["photos/0.png"] * 2) and frame["entropy"].notna().all()


def test_a_run_that_ended_early_gives_no_part_for_the_whole(photos):
    for out in (None, "s.csv"):
        run = score_paths(["entropy"], "photos", out=out, **OPTIONS)
        next(run)
        run.close()
        assert "before its last image" in refused(run.frame) and refused(run.scores)


def test_an_error_before_the_first_row_leaves_no_lock(photos):
    """A notebook keeps the traceback of the failed call, and so all that this call had made."""
    (photos / "judge.csv").write_text("file,score\n" + "".join(f"photos/{n}.png,{n}\n" for n in range(3)))
    judge = "judge=judge.csv:lower_better="
    score_paths(["entropy", f"{judge}true"], "photos", out="s.csv", **OPTIONS).run()
    with pytest.raises(CLIPIQAError) as caught:
        score_paths(["entropy", f"{judge}false"], "photos", out="s.csv", resume=True, **OPTIONS)
    score_paths(["entropy", f"{judge}true"], "photos", out="s.csv", resume=True, **OPTIONS).run()
    assert "lower_better=True" in str(caught.value) and not list(photos.glob(".*.lock"))
