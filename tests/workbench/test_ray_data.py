"""Big runs on Ray: the rows of a local file, whatever is killed, damaged or changed; and nothing twice."""

import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import fsspec
import numpy as np
import pandas
import pyarrow
import pyarrow.dataset
import pytest
import scipy.io
from assertions import refused
from metrics import Brightness
from pyarrow import parquet
from shard_makers import picture, samples, save_parquet, save_tar
from stores import folder_served, register_elsewhere

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.workbench import ray_actors, ray_data
from clipiqa_pyiqa.workbench.files.locking import locked
from clipiqa_pyiqa.workbench.images.image import BytesImage
from clipiqa_pyiqa.workbench.ray_data import score_on_ray
from clipiqa_pyiqa.workbench.results.parquet_folder import ParquetFolder
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.scoring import shard_scorer
from clipiqa_pyiqa.workbench.scoring.folder_plan import FolderPlan
from clipiqa_pyiqa.workbench.scoring.setup import ScoringSetup
from clipiqa_pyiqa.workbench.scoring.shard_scorer import ShardScorer
from clipiqa_pyiqa.workbench.sources.shards import Shard
from clipiqa_pyiqa.workbench.sources.stores import write_whole


@pytest.fixture
def lake(tmp_path):
    """Sources of each kind, whole and damaged: 16 images with a score, and seven without."""
    lake = tmp_path / "lake"
    save_tar(lake / "0.tar", {**samples([0, 51, 102]), "x.png": b"poison", "../y.png": picture(1)})
    save_tar(lake / "1.tar", samples([9, 80, 7]))
    save_parquet(lake / "t.parquet", {"image": [picture(4), None, picture(8)], "n": [1, 2, 3]})
    save_parquet(lake / "empty.parquet", {"image": pandas.array([], "binary[pyarrow]"), "n": [1][:0]})
    cut = save_tar(lake / "cut.tar", samples(range(10, 17)))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (lake / "cut.parquet").write_bytes((lake / "t.parquet").read_bytes()[:200])
    (lake / "loose").mkdir()
    for grey in (30, 60, 90):
        (lake / f"loose/{grey}.png").write_bytes(picture(grey))
    return lake


def sources_in(lake):
    names = ["*.tar", "t.parquet", "empty.parquet", "cut.parquet", "loose"]
    return [*(f"{lake}/{name}" for name in names), f"{lake}/missing.png"]


class Pool(ray_actors.ActorPool):
    """Stands for actors: scores in this process, and loses what ``lost`` drops of a task's tables."""

    lost = staticmethod(lambda number, tables: tables)
    passes = 0

    @classmethod
    def of(cls, setup, *_):
        return cls(lambda: setup, 1, 1.0, 0.0, False)

    def score(self, tasks, folder, header, schema, is_careful):
        Pool.passes += 1
        scorer = ShardScorer(self.factory, header, schema, os.getcwd(), False)
        for number, task in enumerate(tasks):
            tables = list(scorer({"task": [pickle.dumps(task)]}))
            for part, table in enumerate(Pool.lost(number, tables)):
                file = io.BytesIO()
                parquet.write_table(table, file)
                write_whole(f"{folder.path}/{Pool.passes}-{number}-{part}.parquet", file.getvalue())


@pytest.fixture
def here(monkeypatch):
    """Tasks run in this process, without Ray."""
    monkeypatch.setattr(ray_data, "ActorPool", Pool)
    monkeypatch.setattr(ray_data, "connect", lambda: None)
    monkeypatch.setattr(shard_scorer, "ROWS_AT_ONCE", 1)  # a table for each row
    monkeypatch.setattr(Pool, "passes", 0)
    return monkeypatch


def scored(sources, out, metric=None, **options):
    """Run, and return the result and the number of images that were scored."""
    metric = metric or Brightness()
    result = score_on_ray(metric, sources, out, device="cpu", workers=1, **options)
    return result, sum(shape[0] for shape in metric.batches)


def table_of(out):
    return ParquetFolder(str(out)).table().to_pandas().set_index("path").sort_index()


def local_table(tmp_path, sources, metric=None, **options):
    file = tmp_path / "local.parquet"
    score_paths(metric or Brightness(), sources, out=file, overwrite=True, device="cpu", **options).run()
    return pandas.read_parquet(file).set_index("path").sort_index()


def assert_equal_rows(table, local):
    columns = table.drop(columns=["source", "images"])
    pandas.testing.assert_frame_equal(columns, local, check_dtype=False, check_exact=True)


# Rows


@pytest.mark.quick
def test_rows_equal_those_of_a_local_file_and_failures_are_counted(here, lake, tmp_path):
    done, count = scored(sources_in(lake), tmp_path / "out")
    assert_equal_rows(table_of(tmp_path / "out"), local_table(tmp_path, sources_in(lake)))
    failures = {"missing": 2, "damaged archive": 2, "not an image": 1, "path outside": 1, "empty": 1}
    assert (done.failures, done.unfinished, done.gone, done.images, count) == (failures, [], [], 23, 16)
    assert not done.is_complete


def test_kept_values_and_sources_that_lack_them(here, lake, tmp_path):
    sources = [lake / "1.tar", lake / "loose"]
    done, _ = scored(sources, tmp_path / "out", keep=["caption", "tags", "width"])
    assert_equal_rows(table_of(tmp_path / "out"), local_table(tmp_path, sources, keep=["caption", "tags", "width"]))
    assert done.absent == {
        "caption": ["loose photos"],
        "tags": ["loose photos"],
        "width": [f"{lake}/1.tar", "loose photos"],
    }


def test_a_shards_rows_name_it_and_one_holds_the_number_of_its_images(here, lake, tmp_path):
    scored([lake / "0.tar", lake / "loose"], tmp_path / "out")
    table = table_of(tmp_path / "out")
    assert table.source.dropna().unique().tolist() == [f"{lake}/0.tar"] and table.source.isna().sum() == 3
    assert table.images.dropna().tolist() == [5]


def test_kept_numbers_of_parquet_files_stay_numbers_and_a_file_with_another_type_is_named(here, lake, tmp_path):
    other = save_parquet(lake / "u.parquet", {"image": [picture(5)], "n": ["five"]})
    done, _ = scored([lake / "t.parquet", other], tmp_path / "out", keep=["n"])
    table = table_of(tmp_path / "out")
    assert table.n[f"{lake}/t.parquet::2"] == 3 and table.quality[f"{other}::0"] > 0
    assert "where other files have int64" in done.errors[-1] and done.failures == {"missing": 1, "other": 1}


def test_a_folder_whose_files_repeat_the_scale_in_each_row_is_continued(here, lake, tmp_path):
    """As earlier versions wrote them."""
    scored(lake / "0.tar", tmp_path / "out")
    for file in (tmp_path / "out").glob("*.parquet"):
        table = parquet.read_table(file)
        scale = pyarrow.array(['{"quality":[0,1,"higher","3f2a9c018b6d4e75"]}'] * len(table))
        parquet.write_table(table.append_column("scale", scale), file)
    scored([lake / "0.tar", lake / "1.tar"], tmp_path / "out", resume=True)
    table = table_of(tmp_path / "out").drop(columns="scale")
    assert_equal_rows(table, local_table(tmp_path, [lake / "0.tar", lake / "1.tar"]))
    assert read_scores(tmp_path / "out").frame["quality"].notna().any()


def test_the_folder_reads_as_one_file_and_so_does_its_merged_file(here, lake, tmp_path):
    scored(lake / "0.tar", tmp_path / "out", prompts=["quality", "sharpness"])
    scores = read_scores(tmp_path / "out")
    assert scores.names == ["quality", "sharpness"] and scores.columns["quality"].fingerprint
    parquet.write_table(pyarrow.dataset.dataset(tmp_path / "out").to_table(), tmp_path / "one.parquet")
    merged = read_scores(tmp_path / "one.parquet")
    pandas.testing.assert_frame_equal(merged.frame, scores.frame)
    assert merged.columns == scores.columns and merged.reading == scores.reading


def test_a_folder_is_read_once_its_run_has_ended(here, lake, tmp_path, clipiqa):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    sources = [lake / "0.tar", lake / "1.tar"]
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pool, "score", interrupted)
        scored(sources, out)
    assert "not finished" in refused(read_scores, out)
    clipiqa(f"rank {out} --best 1 --paths", 2, "not finished")
    scored(sources, out, resume=True)
    assert clipiqa(f"rank {out} --best 1 --paths", 0).out == f"{lake}/0.tar::0002.png\n"
    clipiqa(f"gate {out} {out}", 1, out="quality")


# Resuming


def test_a_finished_run_scores_nothing_and_starts_no_ray(here, lake, tmp_path):
    sources = [lake / "0.tar", lake / "cut.tar", lake / "empty.parquet", lake / "loose"]
    scored(sources, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    here.setattr(ray_data, "connect", None)
    done, count = scored(sources, tmp_path / "out", resume=True)
    assert count == 0 and done.images == 15 and sorted((tmp_path / "out").iterdir()) == files


def test_a_run_without_a_file_of_a_metric_keeps_how_its_scores_were_made(here, lake, tmp_path):
    here.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    parameters = tmp_path / "niqe_modelparameters.mat"
    scipy.io.savemat(parameters, {"mu_prisparam": np.ones((1, 36)), "cov_prisparam": np.eye(36)})
    score_on_ray(["niqe", "entropy"], lake / "loose", tmp_path / "out", device="cpu")
    before = ParquetFolder(str(tmp_path / "out")).header().by_name["niqe"]
    parameters.unlink()
    score_on_ray(["niqe", "entropy"], lake / "loose", tmp_path / "out", device="cpu", resume=True)
    assert ParquetFolder(str(tmp_path / "out")).header().by_name["niqe"] == before


@pytest.mark.parametrize("what", ["beginning", "middle", "end", "twice", "cut file"])
@pytest.mark.slow
def test_what_a_lost_process_had_not_written_or_had_written_twice(here, lake, tmp_path, what):
    def lost(number, tables):
        if Pool.passes > 1:
            return tables
        unfinished = [table.drop_columns("images") for table in tables]
        twice = [table.append_column("images", pyarrow.nulls(len(table), "int64")) for table in unfinished] + tables
        first = {"beginning": tables[2:], "middle": tables[:1] + tables[3:], "end": tables[:-1], "twice": twice}
        return first.get(what, tables)

    here.setattr(Pool, "lost", staticmethod(lost))
    out = tmp_path / "out"
    if what == "cut file":
        out.mkdir()
        scored(lake / "1.tar", out)
        (file,) = out.glob("1-0-1*")
        file.write_bytes(file.read_bytes()[:100])
        done, count = scored(sources_in(lake), out, resume=True)
        assert count == 16 - 2
    else:
        done, _ = scored(sources_in(lake), out)
    table = table_of(out)
    assert table.index.is_unique and not done.unfinished and Pool.passes == (1 if what == "twice" else 2)
    assert_equal_rows(table, local_table(tmp_path, sources_in(lake)))


def test_a_shard_that_is_lost_in_each_pass_is_named(here, lake, tmp_path):
    here.setattr(Pool, "lost", staticmethod(lambda number, tables: tables[: -1 if number == 0 else None]))
    done, _ = scored([lake / "1.tar", lake / "loose"], tmp_path / "out")
    assert Pool.passes == 3 and done.unfinished and not done.is_complete
    assert "not finished" in done.sentences()[-1]


@pytest.mark.slow
def test_changed_removed_and_new_images(here, lake, tmp_path):
    sources = [f"{lake}/*.tar", lake / "t.parquet", lake / "loose"]
    out = tmp_path / "out"
    scored(sources, out)
    save_tar(lake / "1.tar", samples([9, 80]))  # one less
    (lake / "loose/30.png").write_bytes(picture(33))
    (lake / "loose/60.png").unlink()
    (lake / "loose/61.png").write_bytes(picture(61))
    done, count = scored(sources, out, resume=True)
    assert count == 2 + 1 + 1 and done.gone == [f"{lake}/1.tar::0002.png", f"{lake}/loose/60.png"]
    table = table_of(out)
    assert f"{lake}/loose/60.png" in table.index  # as in a local file
    done, count = scored(sources, out, resume=True, drop_vanished=True)
    assert count == 0 and done.gone == []
    assert_equal_rows(table_of(out), local_table(tmp_path, sources))


def test_a_shard_that_is_missing_for_a_while_keeps_its_rows(here, lake, tmp_path, caplog):
    sources = [lake / "0.tar", lake / "1.tar"]
    out = tmp_path / "out"
    scored(sources, out)
    shutil.move(lake / "1.tar", lake / "elsewhere")
    done, count = scored(sources, out, resume=True)
    assert count == 0 and done.gone == [f"{lake}/1.tar"] and len(table_of(out)) == 8
    assert "1 gone since an earlier run: " in done.sentences()[-1]
    shutil.move(lake / "elsewhere", lake / "1.tar")
    done, count = scored(sources, out, resume=True)
    assert count == 0 and done.gone == [] and len(table_of(out)) == 8
    shutil.move(lake / "1.tar", lake / "elsewhere")
    caplog.set_level("INFO", "clipiqa_pyiqa")
    done, _ = scored(sources, out, resume=True, drop_vanished=True)
    assert done.failures["missing"] == 1 and len(table_of(out)) == 6
    assert "5 rows kept; 0 images to be scored again; 0 rows of other images" in caplog.text


def test_rows_of_vanished_files_that_the_run_lacks_are_not_counted_as_kept(here, lake, tmp_path, caplog):
    scored([lake / "loose", lake / "0.tar"], tmp_path / "out")
    (lake / "loose/30.png").unlink()
    caplog.set_level("INFO", "clipiqa_pyiqa")
    scored(lake / "0.tar", tmp_path / "out", resume=True, drop_vanished=True)
    assert "5 rows kept; 0 images to be scored again; 2 rows of other images" in caplog.text


def test_other_sources_are_added(here, lake, tmp_path):
    scored(lake / "0.tar", tmp_path / "out")
    done, count = scored(lake / "1.tar", tmp_path / "out", resume=True)
    assert (count, done.images, len(table_of(tmp_path / "out"))) == (3, 3, 8) and done.is_complete


@pytest.mark.slow
def test_an_image_has_one_row_however_its_path_is_written(here, lake, tmp_path):
    here.chdir(lake)
    scored(["0.tar", "loose"], tmp_path / "out")
    for sources in ([lake / "0.tar", lake / "loose"], ["./loose", "./0.tar"], ["0.tar", "loose"]):
        done, count = scored(sources, tmp_path / "out", resume=True)
        assert (count, done.images, len(table_of(tmp_path / "out"))) == (0, 8, 8)
    (lake / "loose/30.png").write_bytes(picture(33))
    done, count = scored([lake / "0.tar", lake / "loose"], tmp_path / "out", resume=True)
    assert (count, done.images, len(table_of(tmp_path / "out"))) == (1, 8, 8)


def test_a_store_that_keeps_its_listings_is_asked_anew(here, lake, tmp_path):
    register_elsewhere()
    sources = [f"elsewhere://{lake}/1.tar", f"elsewhere://{lake}/loose"]
    out = f"elsewhere://{tmp_path}/out"
    done, count = scored(sources, out)
    assert (done.images, count, Pool.passes) == (6, 6, 1) and len(read_scores(out).frame) == 6
    save_tar(lake / "1.tar", samples([9, 80, 7, 6]))
    (lake / "loose/30.png").write_bytes(picture(33))
    (lake / "loose/61.png").write_bytes(picture(61))
    for changed in (lake / "1.tar", lake / "loose/30.png"):  # times of this store may be those of the same second
        os.utime(changed, (2e9, 2e9))
    done, count = scored(sources, out, resume=True)
    assert (done.images, count, Pool.passes) == (8, 4 + 2, 2) and len(read_scores(out).frame) == 8


def test_a_damaged_image_is_tried_again_if_the_decoders_have_changed(here, lake, tmp_path):
    (lake / "loose/cut.png").write_bytes(picture(9)[:60])
    done, _ = scored(lake / "loose", tmp_path / "out")
    assert done.failures == {"damaged": 1}
    assert scored(lake / "loose", tmp_path / "out", resume=True)[0].failures == {"damaged": 1} and Pool.passes == 1
    path = tmp_path / "out/_clipiqa.json"
    record = json.loads(path.read_text())
    record["reading"]["decoders"]["pillow"] = "0"
    path.write_text(json.dumps(record))
    done, count = scored(lake / "loose", tmp_path / "out", resume=True)
    assert done.failures == {"damaged": 1} and (count, Pool.passes) == (0, 2)


def test_scores_that_could_not_be_computed_are_tried_again(here, lake, tmp_path):
    class Failing(Brightness):
        def encode_image(self, x):
            raise RuntimeError("out of memory")

    done, _ = scored(lake / "1.tar", tmp_path / "out", Failing())
    assert done.failures == {"out of memory": 3}
    done, count = scored(lake / "1.tar", tmp_path / "out", resume=True)
    assert count == 3 and done.is_complete


# What is refused


def test_another_metric_prompt_or_reading_is_refused_with_the_field_that_differs(here, lake, tmp_path):
    scored(lake / "1.tar", tmp_path / "out", prompts="quality")
    for field, options in {
        "max_side was none and is now 50": {"max_side": 50},
        "columns was quality and is now sharpness": {"prompts": "sharpness"},
        "keep was none and is now": {"keep": ["caption"]},
        'Bad photo."]] and is now [[': {"prompts": {"quality": ["sharpness"]}},
    }.items():
        said = refused(scored, lake / "1.tar", tmp_path / "out", **{"prompts": "quality", **options}, resume=True)
        assert field in said
    said = refused(scored, lake / "1.tar", tmp_path / "out", prompts="quality")
    assert "pass `resume`" in said


def test_a_folder_without_the_record_is_refused(here, lake, tmp_path):
    for resume in (False, True):
        assert "_clipiqa.json" in refused(scored, lake / "1.tar", lake, resume=resume)


def test_two_runs_into_one_folder(here, lake, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        assert "is being written by" in refused(scored, lake / "1.tar", tmp_path / "out")


def test_a_run_that_begins_in_a_stores_folder_at_the_same_time_is_refused(here, lake):
    folder, header = ParquetFolder("memory://lake/out"), None
    scored(lake / "1.tar", f"{lake}/out")
    header = ParquetFolder(f"{lake}/out").header()
    folder.save_header(header, is_new=True)
    assert "another run" in refused(folder.save_header, header, is_new=True)
    folder.save_header(header)
    assert folder.header().record == header.record
    fsspec.filesystem("memory").rm("/lake", recursive=True)


def test_scores_in_a_file_no_sources_and_a_damaged_record(here, lake, tmp_path):
    (tmp_path / "deqa.csv").write_text("path,score\n1.tar::0001.png,1\n")
    metrics = ["entropy", f"deqa={tmp_path}/deqa.csv:lower_better=false"]
    assert "deqa" in refused(score_on_ray, metrics, lake / "1.tar", tmp_path / "out")
    assert "nothing to score" in refused(scored, [tmp_path / "gone.png"], tmp_path / "out")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out/_clipiqa.json").write_text("{}")
    assert "damaged" in refused(scored, lake / "1.tar", tmp_path / "out", resume=True)


# Actors


@pytest.mark.parametrize(
    "machines, options, size",
    [
        ([{"CPU": 2.0}], {}, 1),  # half a core stays free
        ([{"CPU": 16.0}], {}, 15),
        ([{"CPU": 16.0}], {"actors": 3}, 3),
        ([{"CPU": 2.0}], {"actors": 2, "cpus_per_actor": 0.75}, 2),
        ([{"CPU": 3.0}] * 4, {"cpus_per_actor": 2.0}, 4),  # an actor is on one machine
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}], {}, 2),
        ([{"CPU": 16.0, "GPU": 2.0}], {"gpus_per_actor": 0.5, "cpus_per_actor": 2.0}, 4),
    ],
)
def test_as_many_actors_as_fit_and_room_for_writing(monkeypatch, machines, options, size):
    pool = pool_of(monkeypatch, machines, **options)
    assert pool.size == size and pool.factory.keywords["device"] == ("cuda" if "GPU" in machines[0] else "cpu")


def test_numbers_that_no_process_can_have_are_refused(tmp_path):
    for name in ("cpus_per_actor", "gpus_per_actor"):
        for number in (-1.0, "one"):
            assert name in refused(score_on_ray, Brightness(), tmp_path, tmp_path / "out", **{name: number})


@pytest.mark.parametrize(
    "options", [{"actors": 3}, {"actors": 2}, {"cpus_per_actor": 2.0}, {"gpus_per_actor": 1.0}, {"cpus_per_actor": 9.0}]
)
def test_more_actors_than_fit_are_refused(monkeypatch, options):
    assert "do not fit" in refused(pool_of, monkeypatch, [{"CPU": 2.0}], **options)


def pool_of(monkeypatch, machines, actors=None, cpus_per_actor=1.0, gpus_per_actor=None):
    nodes = [{"Alive": True, "Resources": machine} for machine in machines] + [{"Alive": False, "Resources": {}}]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    setup = ScoringSetup(Brightness(), device="cpu")
    return ray_actors.ActorPool.of(setup, actors, cpus_per_actor, gpus_per_actor, False)


@pytest.mark.parametrize("options, gpus", [({}, 0.0), ({"gpus_per_actor": 1.0}, 1.0)])
def test_who_asks_for_a_cpu_gets_no_gpu(here, lake, tmp_path, options, gpus):
    asked = []

    class AskedPool(Pool):
        @classmethod
        def of(cls, setup, actors, cpus, gpus, has_bars):
            asked.append(gpus)
            return super().of(setup)

    here.setattr(ray_data, "ActorPool", AskedPool)
    scored(lake / "1.tar", tmp_path / "out", **options)
    assert asked == [gpus]


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "`pip install '.[ray]'` in a clone" in refused(ray_actors.connect)


@pytest.mark.slow
def test_no_cluster_at_the_address(monkeypatch):
    pytest.importorskip("ray.data", reason="Ray is not installed")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert "127.0.0.1:1" in refused(ray_actors.connect)


def test_a_start_that_fails_on_this_machine_tells_why(monkeypatch):
    pytest.importorskip("ray.data", reason="Ray is not installed")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def fail(**options):
        raise RuntimeError("no space left")

    monkeypatch.setattr("ray.init", fail)
    assert "Ray could not start on this machine: no space left" in refused(ray_actors.connect)


# On a cluster


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two cores on this machine, for all tests of this module."""
    pytest.importorskip("ray.data", reason="Ray is not installed")
    import ray

    with pytest.MonkeyPatch.context() as patch:  # its workers take what is set now, and unpickle helpers of tests
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
            patch.setenv(name, value)
        quiet = {"include_dashboard": False, "log_to_driver": False}
        quiet["runtime_env"] = {"worker_process_setup_hook": "stores.register_elsewhere"}
        ray.init(num_cpus=2, object_store_memory=100 << 20, address="local", **quiet)
    yield ray
    ray.shutdown()


def on_ray(sources, out, metric=None, **options):
    return score_on_ray(metric or Brightness(), sources, out, device="cpu", workers=1, actors=1, **options)


@pytest.mark.slow
def test_rows_equal_those_of_a_local_file_to_the_last_bit_on_a_cluster_too(cluster, lake, tmp_path):
    metrics = ["clipiqa:backbone=mini", "entropy"]
    done = on_ray(sources_in(lake), tmp_path / "out", metrics)
    assert_equal_rows(table_of(tmp_path / "out"), local_table(tmp_path, sources_in(lake), metrics))
    assert (done.images, done.unfinished) == (23, [])
    (file, *_) = (tmp_path / "out").glob("*.parquet")
    assert parquet.read_metadata(file).metadata.keys() >= {b"clipiqa_pyiqa", b"PANDAS_ATTRS"}
    assert json.loads((tmp_path / "out/_clipiqa.json").read_text())["columns"].keys() == {*metrics}


class DeadlyMetric(Brightness):
    """Scoring a white image kills the process."""

    def encode_image(self, x):
        if x.max() == 1:
            os._exit(1)
        return super().encode_image(x)


@pytest.mark.long
def test_an_image_that_kills_its_process_each_time_becomes_a_row(cluster, tmp_path):
    save_tar(tmp_path / "good.tar", samples(range(40)))
    save_tar(tmp_path / "bad.tar", samples([1, 2, 255, 3]))
    (tmp_path / "loose.png").write_bytes(picture(255))
    done = on_ray(
        [tmp_path / "bad.tar", tmp_path / "good.tar", tmp_path / "loose.png"], tmp_path / "out", DeadlyMetric()
    )
    table = table_of(tmp_path / "out")
    killed = table.index[table.error.str.contains("killed its process twice")]
    assert [*killed] == [f"{tmp_path}/bad.tar::0002.png", f"{tmp_path}/loose.png"]
    assert done.images == 45 and done.failures == {"other": 2} and not done.unfinished


class Deadly(Shard):
    """A shard whose reading kills the process that reads it."""

    name = "deadly"

    def entries(self):
        yield BytesImage("deadly::0", picture(1))
        time.sleep(0.2)
        os._exit(1)


@pytest.mark.long
def test_a_shard_whose_reading_kills_its_process_costs_no_other_shard(cluster, lake, tmp_path, monkeypatch):
    asked = []
    missing = FolderPlan.missing
    monkeypatch.setattr(FolderPlan, "missing", lambda plan: asked.append(missing(plan)) or asked[-1])
    monkeypatch.setattr(ray_data, "PASSES", 2)
    done = on_ray([Deadly(), str(lake / "0.tar"), str(lake / "1.tar")], tmp_path / "out")
    assert [[work.shard for work in works] for works in asked[1:]] == [["deadly"]] * 2
    assert done.unfinished == ["deadly"] and not done.is_complete and done.images in (8, 9)


@pytest.mark.long
def test_sources_and_results_in_stores(cluster, lake, tmp_path):
    register_elsewhere()
    with folder_served(lake) as address:
        sources = [f"{address}/1.tar", f"{address}/t.parquet", f"{address}/loose/30.png"]
        out = f"elsewhere://{tmp_path}/out"
        done = on_ray(sources, out)
        assert done.images == 7 and done.failures == {"missing": 1}
        scores = read_scores(out)
        assert len(scores.frame) == 7 and scores.frame.quality.count() == 6
        save_tar(lake / "1.tar", samples([1, 2, 3, 4]))
        done = on_ray(sources, out, resume=True)
        assert done.images == 8 and len(read_scores(out).frame) == 8


@pytest.fixture
def started(tmp_path):
    """Starts Python with a text in the test's folder; what it leaves behind ends with the test."""
    pytest.importorskip("ray.data", reason="Ray is not installed")
    running = []

    def start(text):
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            cwd=tmp_path,
            env=os.environ | environment | {"RAY_ADDRESS": "local"},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for_rows(out, number, process):
    """Wait until a run has written this number of rows."""
    while process.poll() is None:
        time.sleep(0.2)
        rows = [parquet.read_metadata(file).num_rows for file in out.glob("*.parquet") if file.stat().st_size]
        if sum(rows) >= number:
            return
    raise AssertionError(process.communicate()[1])


SLOW = """
from metrics import Brightness
from clipiqa_pyiqa.workbench import ray_actors, ray_data
ray_actors.BLOCK_BYTES = 4096  # some ten rows
ray_data.score_on_ray(Brightness(0.05), ["a.tar", "b.tar", "l", "t.parquet"], "out", device="cpu", workers=1)
"""


@pytest.fixture
def many(tmp_path):
    """400 images: two tar archives, loose files and a Parquet file."""
    save_tar(tmp_path / "a.tar", samples(range(100)))
    save_tar(tmp_path / "b.tar", samples(range(100)))
    save_parquet(tmp_path / "t.parquet", {"image": [picture(grey) for grey in range(100)]})
    (tmp_path / "l").mkdir()
    for grey in range(100):
        (tmp_path / f"l/{grey:02d}.png").write_bytes(picture(grey))
    return tmp_path


@pytest.mark.long
def test_no_row_is_lost_or_doubled_if_the_first_process_is_killed(many, started, here):
    out = many / "out"
    killed = started(SLOW)
    wait_for_rows(out, 160, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    time.sleep(5)  # its workers outlive it by some seconds
    here.chdir(many)
    before = len(ParquetFolder(str(out)).rows(["path"]))
    done, count = scored(["a.tar", "b.tar", "l", "t.parquet"], out, Brightness(), resume=True)
    table = table_of(out)
    assert (len(table), table.index.is_unique, done.images, count) == (400, True, 400, 400 - before) and before >= 160


@pytest.mark.long
def test_ctrl_c_ends_with_a_sentence_and_the_next_run_continues(many, started):
    run = "import sys; from clipiqa_pyiqa.workbench import ray_actors, ray_data; ray_actors.BLOCK_BYTES = 4096\n"
    run += "from clipiqa_pyiqa.workbench.commands import main; raise SystemExit(main(sys.argv[1:]))"
    line = "score a.tar l -b mini --engine ray --out out --device cpu --max-side 32"
    process = started(run.replace("sys.argv[1:]", repr(line.split())))
    wait_for_rows(many / "out", 10, process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "Traceback" not in said
    assert "clipiqa score: interrupted: --out out --resume continues from here" in said
    done = started(
        f"from clipiqa_pyiqa.workbench.commands import main; raise SystemExit(main({[*line.split(), '--resume']!r}))"
    )
    assert done.wait() == 0, done.communicate()[1]
    table = table_of(many / "out")
    assert len(table) == 200 and table.index.is_unique and table["kind"].isna().all()


@pytest.mark.long
def test_a_killed_worker_costs_no_row(cluster, many, tmp_path):
    class Killing(Brightness):
        """Scoring kills its process once."""

        def encode_image(self, x):
            if not (many / "killed").exists() and x.mean() > 0.2:
                (many / "killed").write_text("")
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode_image(x)

    done = on_ray([many / "a.tar", many / "l"], tmp_path / "out", Killing())
    assert (many / "killed").exists() and done.is_complete and done.images == 200
    assert table_of(tmp_path / "out").index.is_unique


def test_a_folder_of_results_is_ranked_and_is_a_metric_of_compare(here, lake, tmp_path, clipiqa):
    """``rank FOLDER``, and ``-m LABEL=FOLDER``: the scores of the folder, by the names of the images."""
    scored([lake / "loose"], tmp_path / "results")
    scores = table_of(tmp_path / "results")["quality"]
    best = scores.idxmax()
    assert clipiqa(f"rank {tmp_path}/results --best 1 --paths", 0, "quality: higher is better").out.split() == [best]
    opinions = pandas.DataFrame({"path": scores.index, "mos": scores.rank().to_numpy()})
    opinions.to_csv(tmp_path / "opinions.csv", index=False)
    compared = clipiqa(f"compare -m ray={tmp_path}/results -d {tmp_path}/opinions.csv --out {tmp_path}/compared")
    assert "1.000 [1.000, 1.000]" in compared.out and "3 images; no image was read" in compared.out


def test_a_folder_of_results_in_a_store_is_ranked_and_is_a_metric_of_compare(here, lake, tmp_path, clipiqa):
    """A folder of the store without the record is no folder of results."""
    register_elsewhere()
    scored([lake / "loose"], f"elsewhere://{tmp_path}/results")
    scores = table_of(tmp_path / "results")["quality"]
    assert read_scores(f"elsewhere://{tmp_path}/results").file == f"elsewhere://{tmp_path}/results"
    ranked = clipiqa(f"rank elsewhere://{tmp_path}/results --best 1 --paths", 0, "quality: higher is better")
    assert ranked.out.split() == [scores.idxmax()]
    clipiqa("rank memory://photos --best 1", 2, "'memory://photos' does not exist")
    opinions = pandas.DataFrame({"path": scores.index, "mos": scores.rank().to_numpy()})
    opinions.to_csv(tmp_path / "opinions.csv", index=False)
    compared = clipiqa(f"compare -m ray=elsewhere://{tmp_path}/results -d {tmp_path}/opinions.csv")
    assert "1.000 [1.000, 1.000]" in compared.out
