"""Scoring on a Ray cluster: the same rows as in one process, and what breaks costs its image or its shard only."""

import os
import sys
import time

import pandas
import pytest
from clips import pictures, save_clip
from refusal import refused
from shard_makers import Logged, picture, samples, save_parquet, save_tar, score
from standin import Brightness

from clipiqa_pyiqa.images.image import BytesImage
from clipiqa_pyiqa.ray import RayEngine
from clipiqa_pyiqa.scoring.shards.run import connected
from clipiqa_pyiqa.sources.stores import Shard


@pytest.fixture(scope="session")
def ray():
    """One cluster of two CPUs on this machine, for all tests of a session."""
    pytest.importorskip("ray.data", reason="Ray is not installed")  # not "ray": this folder has that name, too
    import ray

    with pytest.MonkeyPatch.context() as patch:  # its workers take what is set now, and unpickle helpers of tests
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
            patch.setenv(name, value)
        quiet = {"include_dashboard": False, "log_to_driver": False}
        ray.init(num_cpus=2, object_store_memory=100 << 20, address="local", **quiet)
    yield ray
    ray.shutdown()


def engine(**options):
    return RayEngine(1, cpus_per_actor=0.5, **options)


def test_rows_equal_the_local_engines_to_the_last_bit(ray, tmp_path):
    save_tar(tmp_path / "s/0.tar", {**samples(range(0, 250, 40)), "x.png": b"poison", "../y.png": picture(1)})
    save_tar(tmp_path / "s/1.tar", samples([9, 8, 7]))
    save_parquet(tmp_path / "s/t.parquet", {"image": [picture(4), None], "n": [1, 2]})
    (tmp_path / "broken.tar").write_bytes(b"none")
    sources = [f"{tmp_path}/s/*.tar", f"{tmp_path}/s/t.parquet", f"{tmp_path}/broken.tar"]
    pytest.importorskip("av")
    sources.append(save_clip(tmp_path / "a.mkv", pictures(20)))
    told, done = [], []
    (tmp_path / "deqa.csv").write_text("path,score\ns/0.tar::0001.png,1\na.mkv::000000.000,2\n")
    for name, options in {"local": {}, "ray": {"engine": engine(), "progress": lambda *n: told.append(n)}}.items():
        metrics = ["clipiqa:backbone=mini", "entropy", f"deqa={tmp_path}/deqa.csv:lower_better=false"]
        done.append(score(sources, tmp_path / name, metrics, keep=["n"], sampling="0.5s", **options))
    for path in (tmp_path / "local").rglob("*.parquet"):
        there = tmp_path / "ray" / path.relative_to(tmp_path / "local")
        pandas.testing.assert_frame_equal(pandas.read_parquet(path), pandas.read_parquet(there))
    local, found = done
    assert found.failures == local.failures and found.unread == local.unread
    assert found.quantiles().scored["deqa"] == 2 and found.unmatched == local.unmatched
    assert found.missing == local.missing == {f"{tmp_path}/broken.tar": f"'{tmp_path}/broken.tar' is not scored"}
    assert told[-1] == (18, 5, 5)


def test_a_column_is_added_and_what_an_interrupted_run_left_is_kept(ray, tmp_path, out):
    save_tar(tmp_path / "s/0.tar", samples([9, 80, 7]))
    save_tar(tmp_path / "s/1.tar", samples([50, 60]))
    one, two = Logged(tmp_path / "one.log"), Logged(tmp_path / "two.log", 0.5, stop=4)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "s", out, [{"one": one}, {"two": two}])
    two.reset()
    assert one.reset() == 5
    done = score(tmp_path / "s", out, [{"two": two}], engine=engine())
    assert (one.calls(), two.reset(), done.images) == (0, 1, 5)
    save_tar(tmp_path / "s/1.tar", samples([50]))
    done = score(tmp_path / "s", out, [{"one": one}, {"two": two}], engine=engine())
    assert (one.calls(), two.calls()) == (1, 1) and done.states == {"kept": 1, "changed": 1}
    tables = pandas.concat(table.to_pandas() for table in done.tables())
    assert tables.path.nunique() == len(tables) == 4 and tables.one.to_numpy() == pytest.approx(tables.two * 2)


class Deadly(Shard):
    """A shard whose reading kills the process that reads it."""

    name = "deadly"

    def entries(self):
        yield BytesImage("deadly::0", picture(1))
        time.sleep(0.2)
        os._exit(1)


class DeadlyMetric(Brightness):
    """Scoring a white image kills the process."""

    def encode_image(self, x):
        if x.max() == 1:
            os._exit(1)
        return super().encode_image(x)


@pytest.mark.long
def test_a_shard_that_kills_its_actor_is_reported_and_the_others_are_scored(ray, tmp_path, out):
    save_tar(tmp_path / "good.tar", samples([1, 2]))
    save_tar(tmp_path / "bad.tar", samples([1, 255]))
    sources = [Deadly(), str(tmp_path / "bad.tar"), str(tmp_path / "good.tar")]
    done = score(sources, out, DeadlyMetric(), engine=engine(retries=1))
    assert done.shards == 1 and done.scored == 2 and len(done.unread) == 2
    assert all("was given up after 2 attempts" in why for why in done.unread.values())


# Bad input


def test_more_actors_than_there_is_room_for(ray, out):
    refused(score, Deadly(), out, engine=RayEngine(1, gpus_per_actor=1))


def test_no_cluster_at_the_address(ray, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    refused(connected)


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(connected)
