"""A folder of results and its ``run.json``: nothing stale, nothing partial, nothing mixed."""

import json

import pandas
import pytest
from refusal import refused
from shard_makers import picture, samples, save_parquet, save_tar, score
from standin import Brightness

from clipiqa_pyiqa import merge_shards


class Other(Brightness):
    """Brightness that was made in another way."""

    def provenance(self):
        return {**super().provenance(), "precision": "fp16"}


@pytest.fixture
def lake(tmp_path):
    """Three shards of two images each."""
    for number in range(3):
        save_tar(tmp_path / f"lake/{number}.tar", samples([10 * number, 255]))
    return tmp_path / "lake"


def score_part(folder, part):
    score(folder, folder.parent / "out", part=part)


def merged(out, **options):
    merge_shards(out, out.parent / "all.parquet", overwrite=True, **options)
    return pandas.read_parquet(out.parent / "all.parquet")


def shards_of(out):
    return json.loads((out / "run.json").read_text())["shards"]


# Stamps


def test_a_shard_that_is_gone_keeps_its_result(lake, out):
    for _ in range(2):
        done = score(f"{lake}/{{0..2}}.tar", out)
        (lake / "1.tar").unlink(missing_ok=True)
    assert done.states == {"kept": 2, "not read": 1} and not done.missing and len(done.unread) == 1


def test_results_of_a_changed_shard_that_cannot_be_read_are_not_used(lake, out):
    score(lake, out)
    (lake / "1.tar").write_bytes(b"damaged")
    done = score(lake, out)
    assert list(done.unread) == [f"{lake}/1.tar"] and done.states == {"kept": 2, "not read": 1}
    refused(merge_shards, out)


# The run


def test_a_part_names_the_whole_set(lake, out):
    done = score(lake, out, part="2/3")
    assert shards_of(out) == {f"{n}.tar.parquet": f"{lake}/{n}.tar" for n in range(3)}
    assert list(done.missing) == [f"{lake}/0.tar", f"{lake}/2.tar"]


def test_parts_that_run_at_once_leave_one_whole_run(forked, lake, out):
    parts = [(lake, f"{number}/3") for number in (1, 2, 3)]
    assert forked.call(score_part, *parts, folder=lake.parent) == [0, 0, 0]
    assert list(shards_of(out)) == [f"{number}.tar.parquet" for number in range(3)]
    assert merged(out).path.nunique() == len(merged(out)) == 6


def test_shards_that_are_moved_leave_no_rows(lake, out):
    score(lake, out)
    (lake / "sub").mkdir()
    (lake / "1.tar").rename(lake / "sub/1.tar")
    done = score(lake, out)
    assert (done.shards, done.scored, done.left_out) == (3, 6, ["1.tar.parquet"])
    assert done.states == {"kept": 2, "new": 1} and merged(out).path.nunique() == len(merged(out)) == 6


def test_runs_of_fewer_shards_lose_no_results(lake, out):
    score(lake, out)
    assert score([lake / "1.tar"], out).shards == 1
    assert score(lake, out).states == {"kept": 3}


def test_another_way_of_scoring_is_refused_before_the_first_image(lake, out):
    score(lake, out, part="1/3")
    before = (out / "run.json").read_bytes()
    for metric, change, named in (
        (Other(), {}, "precision was fp32 and is now fp16"),
        (Brightness(), {"keep": ["n"]}, "keep"),
    ):
        assert named in refused(score, lake, out, metric, part="2/3", **change)
        assert metric.batches == [] and (out / "run.json").read_bytes() == before


def test_a_folder_is_never_mixed(lake, out):
    score(lake, out)
    assert score(lake, out, Other(), part="1/3", overwrite=True).shards == 1
    refused(merge_shards, out)
    assert len(merged(out, partial=True)) == 2
    assert score(lake, out, Other()).states == {"kept": 1, "completed": 2}
    assert len(merged(out)) == 6


def test_a_damaged_run_file_is_named_and_a_lost_one_is_written_again(lake, out):
    score(lake, out)
    (out / "run.json").write_text("[]")
    refused(merge_shards, out)
    (out / "run.json").unlink()
    refused(merge_shards, out)
    refused(score, lake, out, Other())
    assert score(lake, out).states == {"kept": 3}


# Columns


def test_differences_of_parquet_files_are_found_before_the_first_image(tmp_path, out):
    save_parquet(tmp_path / "a.parquet", {"image": [picture(9)], "id": [1]})
    given = f"{tmp_path}/*.parquet", out
    for column, named in (({}, "'id'"), ({"id": ["x"]}, "int64")):
        save_parquet(tmp_path / "b.parquet", {"image": [picture(9)], **column})
        assert named in refused(score, *given, keep=["id"]) and not list(out.glob("*"))
    save_parquet(tmp_path / "b.parquet", {"image": [picture(9)], "id": [1], "thumb": [b"x"]})
    assert not score(*given, keep=["id"]).missing
