"""Shards, Parquet files and photos into one file: each image once, and a later run scores only what is missing."""

import datetime
import json
import os

import numpy as np
import pandas
import pytest
from assertions import refused
from shard_makers import Logged, picture, samples, save_parquet, save_tar, score


class Two:
    """Runs of metrics ``a`` and ``b``, which count the images that they score."""

    def __init__(self, folder, out):
        self.sources, self.out = folder, out
        self.a = Logged(folder.parent / "a.log")
        self.b = Logged(folder.parent / "b.log", 0.5)

    def score(self, names="ab", sources=None, **options):
        """Score what is missing; return the numbers of images that each metric scored."""
        metrics = [{name: getattr(self, name)} for name in names]
        self.done = score(sources or self.sources, self.out, metrics, **{"resume": True, **options})
        return self.calls()

    def interrupt(self, name, stop, **options):
        """Score until a metric stops the run; return the numbers of scored images."""
        getattr(self, name).reset(stop)
        with pytest.raises(KeyboardInterrupt):
            self.score(**options)
        return self.calls()

    def calls(self):
        return self.a.reset(), self.b.reset()

    def table(self):
        table = pandas.read_parquet(self.out).set_index("path")
        return table.rename(index=lambda path: path.removeprefix(f"{self.sources}/"))


@pytest.fixture
def out(tmp_path):
    """The file of results."""
    return tmp_path / "out.parquet"


@pytest.fixture
def run(tmp_path, out):
    """Six photos, a tar of three pictures and a Parquet file of two."""
    two = Two(tmp_path / "in", out)
    for number in range(6):
        photo(tmp_path / "in", number, 40 * number)
    save_tar(tmp_path / "in/0.tar", samples([10, 20, 30]))
    save_parquet(tmp_path / "in/t.parquet", {"image": [picture(50), picture(60)]})
    two.sources = [tmp_path / "in", tmp_path / "in/t.parquet"]
    two.photos = tmp_path / "in"
    return two


def photo(folder, number, grey):
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.png").write_bytes(picture(grey))
    os.utime(folder / f"{number}.png", ns=(grey, grey))


def scores_of(two, column="a"):
    return {path.rpartition("/")[2]: score for path, score in two.table()[column].items()}


@pytest.mark.quick
def test_any_mix_of_sources_gives_a_row_for_each_image_and_kept_values(tmp_path, out):
    tar = save_tar(tmp_path / "0.tar", samples([0, 51]))
    table = save_parquet(tmp_path / "t.parquet", {"image": [picture(102), None], "n": [7, 8]})
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(picture(51))
    score([tar, table, tmp_path / "photos"], out, keep=["n"])
    rows = pandas.read_parquet(out)
    assert list(rows.path) == [
        *(f"{tar}::{n:04d}.png" for n in range(2)),
        *(f"{table}::{n}" for n in range(2)),
        f"{tmp_path}/photos/a.png",
    ]
    assert np.allclose(rows.quality.fillna(-1), [0, 0.2, 0.4, -1, 0.2])
    assert rows.n.fillna(-1).tolist() == [0, 1, 7, 8, -1]


def test_kept_values_of_changing_types(tmp_path, out):
    members = {}
    for n, value in enumerate([1, "two", {"three": 3}]):
        members |= {f"{n}.png": picture(n), f"{n}.json": json.dumps({"v": value}).encode()}
    score(save_tar(tmp_path / "0.tar", members), out, keep=["v"])
    assert list(pandas.read_parquet(out).v) == ["1", "two", '{"three": 3}']


def test_a_column_is_added_and_only_its_metric_runs(run):
    assert run.score("a") == (11, 0)
    before = run.table()
    assert run.score("ab") == (0, 11)
    table = run.table()
    assert np.allclose(table.b, table.a / 2) and table.a.equals(before.a) and table.stamp.all()
    assert run.score("ab") == run.score("b") == (0, 0)


@pytest.mark.parametrize("stop", [0, 1, 4, 8])
def test_an_interrupted_addition_goes_on_where_it_ended(run, stop):
    run.score("a")
    assert run.interrupt("b", stop) == (0, stop)
    assert run.score() == (0, 11 - stop)
    assert np.allclose(run.table().b, run.table().a / 2)


def test_an_equal_name_of_a_kept_value_is_refused_before_the_first_image(run):
    run.score("a", keep=["b"])
    refused(run.score, "b", keep=["b"])
    assert run.calls() == (0, 0)


def test_a_changed_archive_is_scored_again_and_its_lost_members_are_gone(run):
    run.score()
    save_tar(run.photos / "0.tar", samples([10, 200]))
    assert run.score() == (2, 2) and run.done.results.images.gone == [f"{run.photos}/0.tar::0002.png"]
    assert run.score(drop_vanished=True) == (0, 0) and not [path for path in run.table().index if "0002" in path]
    assert scores_of(run)["0.tar::0001.png"] == pytest.approx(200 / 255)


def test_a_shard_that_is_missing_keeps_its_rows(run):
    run.score("a")
    (run.photos / "0.tar").rename(run.photos / "elsewhere")
    run.score("a", [f"{run.photos}/0.tar", run.photos])
    assert len(run.done.results.images.gone) == 3
    (run.photos / "elsewhere").rename(run.photos / "0.tar")
    assert run.score("a") == (0, 0) and not run.done.results.images.gone


def test_kept_values_of_all_types_survive_an_interruption(tmp_path, out):
    day = datetime.date(2024, 5, 1)
    rows = {"image": [picture(9), picture(8), picture(7)], "n": [1, 2, 3], "day": [day] * 3, "x": [b"1"] * 3}
    run = Two(tmp_path / "in", out)
    run.sources = save_parquet(tmp_path / "in/t.parquet", rows)
    run.interrupt("a", 2, keep=["n", "day", "x"])
    assert run.score(keep=["n", "day", "x"])[0] == 1
    table = run.table()
    assert list(table.n) == [1, 2, 3] and set(table.day) == {"2024-05-01"}
