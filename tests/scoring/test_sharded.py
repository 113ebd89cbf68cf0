"""Results by shard: every image once, names that do not meet, what is skipped, dealt out, merged and ranked."""

import json

import numpy as np
import pandas
import pytest
from photos import save_grey
from pyarrow import parquet
from refusal import refused
from shard_makers import picture, samples, save_parquet, save_tar, score
from standin import Brightness
from stored import read_results

from clipiqa_pyiqa import merge_shards
from clipiqa_pyiqa.images.image import File
from clipiqa_pyiqa.scoring.shards.planning import part_of, result_names
from clipiqa_pyiqa.sources.stores import FilesShard
from clipiqa_pyiqa.sources.tar import TarShard

pytestmark = pytest.mark.usefixtures("standin")
LEVELS = {"a/000": [0, 51, 102], "a/001": [153, 204], "b/000": [255, 10]}


@pytest.fixture
def lake(tmp_path):
    """Three shards of seven images of known brightness."""
    for name, greys in LEVELS.items():
        save_tar(tmp_path / f"lake/{name}.tar", samples(greys))
    return tmp_path / "lake"


def slurm(task, first, last, count, step=1):
    """What SLURM tells a task of an array."""
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


class NotFinite(Brightness):
    """No score of a black picture."""

    def score(self, features, *questions):
        return super().score(features / (features > 0), *questions)


# Results


def test_a_file_for_each_shard_with_all_that_is_known_of_it(lake, out):
    done = score(lake, out, prompts=["quality", "sharpness"], keep=["caption", "n", "tags", "width"])
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert written == ["a/000.tar.parquet", "a/001.tar.parquet", "b/000.tar.parquet", "run.json"]
    table = pandas.read_parquet(out / "a/000.tar.parquet")
    assert list(table.path) == [f"{lake}/a/000.tar::{n:04d}.png" for n in range(3)]
    assert np.allclose(table[["quality", "sharpness"]], [[0, 0], [0.2, 0.1], [0.4, 0.2]])
    assert table[["caption", "n", "tags", "kept_width"]].loc[1].tolist() == ["grey 51", 1, '["a"]', None]
    assert table.attrs["shard"] == f"{lake}/a/000.tar" and table.attrs["metric"] == "brightness"
    assert (done.shards, done.images, done.failures.total(), done.missing) == (3, 7, 0, {})
    assert done.quantiles([0.5]).to_numpy().tolist() == [[0.4, 7], [0.2, 7]]


def test_every_image_has_a_row_and_failures_are_counted_by_kind(tmp_path, out):
    members = {"memory/nan.png": picture(0), "undamaged/empty.png": b"", "not finite/0.png": b"x"}
    members |= {"ok.png": picture(9), "link.png": None, "small.png": picture(1, (8, 8)), "../3.png": picture(1)}
    tar = save_tar(tmp_path / "0.tar", members)
    (tmp_path / "too small.png").mkdir()
    loose = [tar, tmp_path / "is empty.png", File(str(tmp_path / "too small.png"))]
    done = score(loose, out, NotFinite())
    found = {"not finite": 1, "empty": 1, "not an image": 1, "not a file": 2, "too small": 1, "path outside": 1}
    assert done.failures == found and list(done.unread) == [f"{tmp_path}/is empty.png"]
    rows = pandas.concat(map(pandas.read_parquet, out.glob("*.parquet"))).set_index("path")
    assert rows.kind.value_counts().to_dict() == found
    assert rows.kind[f"{tar}::memory/nan.png"] == "not finite" and rows.quality[f"{tar}::ok.png"] > 0


def test_loose_files_parquet_and_empty_shards_together(tmp_path, out):
    for name in ("one.png", "layers.psd"):
        (tmp_path / name).write_bytes(picture(51))
    table = save_parquet(tmp_path / "t.parquet", {"image": [picture(102), None], "id": [7, 8]})
    empty = save_tar(tmp_path / "0.tar", {"a.txt": b"x"})
    done = score([tmp_path, table, empty], out)
    assert np.allclose(pandas.read_parquet(out / "t.parquet.parquet").quality[0], 0.4)
    assert list(pandas.read_parquet(out / "files-00000.parquet").path) == [f"{tmp_path}/one.png"]
    assert done.shards == 3 and not read_results(out / "0.tar.parquet")[1]
    assert f"without images: '{empty}'" in done.sentences()


def test_kept_values_of_changing_types(tmp_path, out):
    members = {}
    for n, value in enumerate([1, "two", {"three": 3}]):
        members |= {f"{n}.png": picture(n), f"{n}.json": json.dumps({"v": value}).encode()}
    score(save_tar(tmp_path / "0.tar", members), out, keep=["v"])
    assert list(pandas.read_parquet(out / "0.tar.parquet").v) == ["1", "two", '{"three": 3}']


# Resuming


def test_each_file_of_a_block_counts_as_progress(tmp_path, out):
    for number in range(4):
        save_grey(tmp_path / f"photos/{number}.png", number)
    told = []
    score(tmp_path / "photos", out, progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 0.25, 1), (2, 0.5, 1), (3, 0.75, 1), (4, 1, 1), (4, 1, 1)]


def test_a_file_of_another_program_is_never_replaced(lake, out):
    theirs = save_parquet(out / "000.tar.parquet", {"mine": [1]})
    for overwrite in (False, True):
        refused(score, lake / "a/000.tar", out, overwrite=overwrite)
    assert parquet.read_table(theirs).column_names == ["mine"]


# Parts


def test_a_task_of_a_slurm_array_has_its_part_or_all_shards_and_says_so(caplog):
    assert part_of("slurm", slurm(7, 5, 7, 3)) == (3, 3) and part_of("1/2", slurm(7, 5, 7, 3)) == (1, 2)
    steps = [part_of("slurm", slurm(task, 1, 9, 5, step=2)) for task in range(1, 10, 2)]  # --array=1-10:2
    assert steps == [(number, 5) for number in range(1, 6)]
    for text, environment in [
        ("3", {}),
        ("0/2", {}),
        ("3/2", {}),
        ("slurm", {"SLURM_ARRAY_TASK_ID": "7"}),
        ("slurm", slurm(2, 0, 5, 3)),
    ]:
        refused(part_of, text, environment)
    assert part_of(None, {}) == (1, 1) and not caplog.text
    assert part_of(None, {"SLURM_ARRAY_TASK_ID": "7"}) == (1, 1) and "part='slurm'" in caplog.text


# Merging


def test_all_results_are_merged_into_one_file(lake, tmp_path, out):
    more = save_tar(tmp_path / "c.tar", {"0.png": picture(51), "0.json": b'{"n": 0.5}'})
    score([lake, more], out, keep=["n", "caption"])
    merge_shards(out, tmp_path / "all.parquet")
    table = pandas.read_parquet(tmp_path / "all.parquet")
    assert np.allclose(table.quality * 255, [0, 51, 102, 153, 204, 255, 10, 51])
    assert list(table.n) == [0, 1, 2, 0, 1, 0, 1, 0.5]
    assert len(read_results(tmp_path / "all.parquet")[1]) == 8


def test_the_merged_file_lies_outside_and_replaces_no_file(lake, out):
    score(lake, out)
    merge_shards(out)
    for path in (out / "all.parquet", None):
        refused(merge_shards, out, path)


def test_shards_whose_kept_columns_differ_in_type_are_not_merged(lake, out):
    save_tar(lake / "a/002.tar", {"0.png": picture(51), "0.json": b'{"n": "x"}'})
    score(lake, out, keep=["n"])
    refused(merge_shards, out)


# Ranking


def test_a_kept_column_ranks_images_by_any_direction(clipiqa, tmp_path, out):
    members = {f"2024.05.{n:02d}.png": picture(40 * n) for n in range(6)}
    members |= {"2025.png": b"x", "2025.json": b'{"n": 9}', "2026.png": picture(0), "2026.json": b'{"n": 2}'}
    score(save_tar(tmp_path / "s.tar", members), out, keep=["n"])
    clipiqa("rank out --best 1 --columns path n --higher-better --paths", 1, "7 images left out", out="2026.png")


# Command


def test_score_merge_and_rank(clipiqa, lake):
    clipiqa("score lake/{a,b}/{000..001}.tar --keep n --out out --device cpu", 1, "b/001.tar' does not exist")
    clipiqa("score lake/{a,b}/*.tar --keep n --out out --device cpu", 0, "7 images: 7 scored, 0 failed", "50 %")
    clipiqa("score --merge out --out all.csv", 0)
    assert len(pandas.read_csv("all.csv")) == 7
    paths = clipiqa("rank out --best 2 --lower-better --paths", 0).out.splitlines()
    assert paths == ["lake/a/000.tar::0000.png", "lake/b/000.tar::0001.png"]


def test_an_unfinished_folder_of_results_needs_partial(clipiqa, lake):
    clipiqa("score lake --part 1/2 --out out --device cpu", 0)
    for command in ("score --merge out --out all.csv", "rank out --worst 1"):
        clipiqa(command, 2, "1 of 3 shards", "--partial")
        clipiqa(f"{command} --partial", 0, "1 shard without")


def test_results_whose_images_or_shards_are_gone_are_named_and_left_out_with_exit_code_1(clipiqa, lake):
    for name in "ab":
        save_grey(lake / f"{name}.png", 9)
    run = "score lake --out out --device cpu"
    clipiqa(run, 0)
    (lake / "b.png").unlink()
    (lake / "a/000.tar").unlink()
    save_tar(lake / "a/001.tar", {})
    clipiqa(run, 1, "4 results ('a/000.tar.parquet', 'lake/a/001.tar::0000.png', ", "'lake/b.png')")
    for command in (run, "score --merge out --out all.csv"):
        clipiqa(command, 1, "1 result ('a/000.tar.parquet')")
    (lake.parent / "out/a/000.tar.parquet").unlink()
    clipiqa(run, 0)
    (lake / "a.png").unlink()
    save_tar(lake / "b/000.tar", {})
    clipiqa(run, 1, "'files-00000.parquet'")
    clipiqa("rank out --worst 1", 2, "has no rows")


def test_a_name_to_keep_that_samples_or_loose_photos_lack_is_a_line_and_exit_code_1(clipiqa, lake):
    save_grey(lake.parent / "photos/a.png", 9)
    for place in ("out", "out.csv"):
        for asked in ("lake --keep n captoin", "photos lake --keep n"):
            named = f"--keep names {asked.split()[-1]!r}, but no sample of"
            clipiqa(f"score {asked} --out {asked[:4]}-{place} --device cpu", 1, named)


def test_a_broken_sidecar_is_counted_and_named_and_its_image_is_scored(clipiqa, lake):
    save_tar(lake / "a/002.tar", {"0.png": picture(51), "0.json": b"{", **samples([60], 1)})
    asked = "score lake/a/002.tar --keep caption --device cpu --out"
    for more in ("s.csv", "out", "out --quiet"):
        clipiqa(f"{asked} {more}", 1, "0.json' holds no JSON object", "1 failed")
    ran = clipiqa(f"{asked} s.csv --resume", 1, "1 failed before", "3 done before, 0 changed")
    assert "--keep names" not in ran.err  # rows that are kept have captions
    clipiqa("score lake/a/002.tar --keep json --out text --device cpu", 0)


def test_a_folder_of_results_is_ranked_as_its_merged_file(clipiqa, lake, out):
    score(lake / "a", out)
    merge_shards(out, "all.parquet")
    found = [clipiqa(f"rank {place} --worst 40%").out for place in ("out", "all.parquet")]
    assert found[0] == found[1] and found[0].count("::") == 2
    clipiqa("rank out --page page", 0)


def test_shards_into_one_plain_file_and_on_the_terminal(clipiqa, lake):
    clipiqa("score lake/a --keep n --out s.csv --device cpu", 0)
    clipiqa("score lake --keep n --out s.csv --resume --device cpu", 0, "2 scored, 0 failed", "5 done before")
    assert list(pandas.read_csv("s.csv").n) == [0, 1, 2, 0, 1, 0, 1]
    assert clipiqa("score lake/a/000.tar --device cpu").out.count("000.tar::") == 3


def test_bad_options_are_refused_in_one_sentence(clipiqa, lake, out):
    for command, named in {
        "score lake --merge out --out results": "--merge",
        "score x.npy --embeddings --out results --device cpu": "embeddings",
    }.items():
        np.save("x.npy", np.zeros((1, 4), np.float32))
        score(lake, out)
        assert clipiqa(command, 2, named).err.count("error: ") == 1


def test_names_of_results_do_not_meet():
    def names(*shards):
        return result_names([FilesShard(shard, []) if shard == "files" else TarShard(shard) for shard in shards])

    assert names("/d/a/000.tar", "/d/b/000.tar", "/d/b/000.parquet", "/d/b/x.tar.gz", "files") == [
        *("a/000.tar", "b/000.tar", "b/000.parquet", "b/x.tar.gz", "files")
    ]
    assert names("s3://bucket/x/0.tar", "s3://bucket/y/0.tar") == ["x/0.tar", "y/0.tar"]
    assert names("/d/../e/0.tar") == ["0.tar"]
