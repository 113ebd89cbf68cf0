"""Folders of results in a second run: a cell is kept if its row's stamp and its column's record are the same."""

import datetime
import os
import shutil

import fsspec
import numpy as np
import pandas
import pytest
import torch
from pyarrow import parquet
from refusal import refused
from shard_makers import Logged, picture, samples, save_parquet, save_tar, score

from clipiqa_pyiqa import CLIPIQA, gate, merge_shards, score_sources
from clipiqa_pyiqa.images.image import BytesImage, File
from clipiqa_pyiqa.results.formats import journal_of
from clipiqa_pyiqa.scoring.shards import planning
from clipiqa_pyiqa.sources import finding
from clipiqa_pyiqa.sources.stores import Shard


class Two:
    """A run of metrics ``a`` and ``b``, which count the images that they score."""

    def __init__(self, folder, out):
        self.sources, self.out = folder, out
        self.a, self.b = Logged(folder.parent / "a.log"), Logged(folder.parent / "b.log", 0.5)

    def score(self, names="ab", **options):
        """Score; return the numbers of images that each metric scored."""
        metrics = [{name: getattr(self, name)} for name in names]
        self.done = score(options.pop("sources", self.sources), self.out, metrics, **options)
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
        merge_shards(self.out, self.sources.parent / "all.parquet", overwrite=True)
        table = pandas.read_parquet(self.sources.parent / "all.parquet").set_index("path")
        return table.rename(index=lambda path: path.removeprefix(f"{self.sources}/"))


@pytest.fixture
def run(tmp_path, out):
    """Six photos, a tar of three pictures and a Parquet file of two."""
    for number in range(6):
        photo(tmp_path / "in", number, 40 * number)
    save_tar(tmp_path / "in/0.tar", samples([10, 20, 30]))
    save_parquet(tmp_path / "in/t.parquet", {"image": [picture(50), picture(60)]})
    two = Two(tmp_path / "in", out)
    two.all = [two.sources, two.sources / "t.parquet"]
    return two


def photo(folder, number, grey):
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.png").write_bytes(picture(grey))
    os.utime(folder / f"{number}.png", ns=(grey, grey))


def only_photos(two):
    (two.sources / "0.tar").unlink()
    return two


# Columns


def test_a_column_is_added_only_its_metric_runs_and_whole_results_are_not_opened(run, monkeypatch):
    assert run.score("a", sources=run.all) == (11, 0)
    before = run.table()
    assert run.score("ab", sources=run.all) == (0, 11) and run.done.states == {"completed": 3}
    table = run.table()
    assert np.allclose(table.b, table.a / 2) and table.a.equals(before.a) and table.stamp.all()
    monkeypatch.setattr(planning, "Results", None)
    assert run.score("ab", sources=run.all) == run.score("b", sources=run.all) == (0, 0)
    assert run.done.states == {"kept": 3} and list(run.done.quantiles().index) == ["a", "b"]


@pytest.mark.parametrize("stop", [0, 1, 4, 8])
def test_an_interrupted_addition_goes_on_where_it_ended(run, stop):
    run.score("a")
    assert run.interrupt("b", stop) == (0, stop)
    refused(run.table)
    assert run.score() == (0, 9 - stop)
    assert np.allclose(run.table().b, run.table().a / 2)


def test_a_part_adds_to_its_shards_and_the_others_do_not_count_until_their_turn(run):
    run.score("a")
    run.score("ab", part="1/2")
    refused(run.table)
    refused(gate, run.out, run.out)  # which takes no part
    run.score("ab", part="2/2")
    assert run.table().b.notna().all()


def test_images_that_are_read_in_another_way_are_scored_again_with_overwrite(run):
    run.score()
    refused(run.score, "a", max_side=32)
    assert run.calls() == (0, 0)
    assert run.score("a", max_side=32, overwrite=True) == (9, 0)
    assert "b" not in run.table() and set(run.table().scored_width) == {32}


def test_a_function_is_scored_in_every_run(run):
    for calls in ((9, 9), (0, 9)):
        score(run.sources, run.out, [{"a": run.a}, {"f": lambda x: run.b(x)}])
        assert run.calls() == calls


def test_an_equal_name_of_a_kept_value_is_refused_before_the_first_image(run):
    run.score("a", keep=["b"])
    refused(run.score, "b", keep=["b"])
    assert run.calls() == (0, 0)


# Images


def test_a_photo_that_is_added_replaced_or_removed(run):
    run.score()
    photo(run.sources, "00", 99)
    assert run.score() == (1, 1) and run.done.states == {"changed": 1, "kept": 1}
    photo(run.sources, 3, 255)
    assert run.score() == (1, 1)
    table = run.table()
    assert table.a["3.png"] == 1 and table.a["00.png"] == pytest.approx(99 / 255) and len(table) == 10
    (run.sources / "2.png").unlink()
    assert run.score() == (0, 0) and "2.png" not in run.table().index and len(run.table()) == 9


def test_of_many_photos_one_is_added_and_one_is_scored(run, monkeypatch):
    monkeypatch.setattr(finding, "LOOSE", 3)
    only_photos(run).score()
    before = {path.name: path.stat().st_ino for path in run.out.iterdir()}
    photo(run.sources, "00", 99)  # the first of all, which moves no other photo to another shard
    assert run.score() == (1, 1) and run.done.states == {"kept": 2, "new": 1}
    assert all((run.out / name).stat().st_ino == number for name, number in before.items() if name != "run.json")
    (run.sources / "1.png").unlink()
    photo(run.sources, "zz", 9)  # takes its place
    assert run.score() == (1, 1) and run.done.states == {"changed": 1, "kept": 2}
    assert sorted(run.table().index) == sorted(path.name for path in run.sources.glob("*.png"))


def test_a_photo_in_a_new_folder_above_needs_overwrite(run, tmp_path):
    only_photos(run).score()
    photo(tmp_path / "more", 0, 77)
    both = [run.sources, tmp_path / "more"]
    refused(run.score, sources=both)
    assert run.score(sources=both, overwrite=True) == (1, 1)


def test_a_new_shard_has_every_column_of_the_folder(run):
    run.score()
    save_tar(run.sources / "1.tar", samples([70]))
    assert run.score("a") == (1, 0)
    assert not run.done.missing and run.table().b.isna().sum() == 1
    assert len(run.done.sentences()) == 3 and "0 failed;" in f"{run.done.sentences()[0]};"  # says how to fill the cell
    assert run.score() == (0, 1) and len(run.done.sentences()) == 2


def test_a_changed_archive_is_scored_again_and_lost_members_leave_no_rows(run):
    run.score()
    save_tar(run.sources / "0.tar", samples([10, 200]))
    assert run.score() == (2, 2) and run.done.states == {"changed": 1, "kept": 1}
    assert sum("::" in name for name in run.table().index) == 2


def test_a_copy_of_a_shard_elsewhere_is_another_shard(run, tmp_path):
    run.score(sources=run.sources / "0.tar")
    (tmp_path / "copy").mkdir()
    shutil.copy2(run.sources / "0.tar", tmp_path / "copy")
    refused(run.score, sources=tmp_path / "copy")
    assert run.score(sources=tmp_path / "copy", overwrite=True) == (3, 3) and not run.done.missing


def test_images_of_an_own_shard_have_its_stamp_and_are_scored_again_if_it_has_none(run):
    class Own(Shard):
        name = "own"

        def entries(self):
            return [BytesImage(f"own::{number}", picture(number)) for number in range(2)]

    own = Own()
    assert [run.score("a", sources=own) for _ in range(2)] == [(2, 0)] * 2 and run.done.states == {"scored again": 1}
    own.stamp = lambda: "1"
    run.score("a", sources=own)
    assert run.score(sources=own) == (0, 2)
    own.stamp = lambda: "2"
    assert run.score("a", sources=own) == (2, 0)


# Failures


def test_a_photo_that_was_missing_is_found(run):
    sources = [File(f"{run.sources}/{number}.png") for number in (1, 7)]
    run.score(sources=sources)
    photo(run.sources, 7, 9)
    assert run.score(sources=sources) == (1, 1)


# Interruption


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_no_image_of_an_interrupted_run_is_lost(run, stop):
    assert run.interrupt("a", stop)[0] == stop
    again = run.score()
    assert again[0] == 9 - stop and again[1] in (9 - stop, 10 - stop)
    assert len(run.table()) == 9 and not list(run.out.glob("*.jsonl"))


def test_a_result_whose_photos_changed_does_not_count_while_its_run_is_interrupted(run):
    only_photos(run).score()
    for number in range(3):
        photo(run.sources, number, 255)
    run.interrupt("a", 2)
    assert "not scored to its end" in refused(run.table)
    assert run.score()[0] == 1 and list(run.table().a[["0.png", "1.png", "2.png"]]) == [1, 1, 1]


def test_kept_values_of_all_types_survive_an_interruption(tmp_path, out):
    day = datetime.date(2024, 5, 1)
    rows = {"image": [picture(9), picture(8), picture(7)], "n": [1, 2, 3], "day": [day] * 3, "x": [b"1"] * 3}
    run = Two(tmp_path / "in", out)
    save_parquet(run.sources / "t.parquet", rows)
    run.interrupt("a", 2, keep=["n", "day", "x"])
    assert run.score(keep=["n", "day", "x"])[0] == 1
    table = run.table()
    assert list(table.n) == [1, 2, 3] and set(table.day) == {"2024-05-01"}


def test_damaged_lines_of_a_journal_are_scored_again(run, caplog):
    only_photos(run).interrupt("b", 4)
    journal = journal_of(run.out / "files-00000.parquet")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"1.png", b"9.png")
    journal.write_bytes(b"".join(lines))
    assert run.score()[1] == 3 and "damaged" in caplog.text and len(run.table()) == 6
    run.interrupt("b", 1, overwrite=True, max_side=32)
    journal.write_bytes(b"x")
    assert run.score(overwrite=True, max_side=32) == (6, 6)


def test_a_result_that_is_damaged_inside_is_scored_again_by_the_run_that_reads_it(run):
    only_photos(run).score("a")
    path = run.out / "files-00000.parquet"
    content = bytearray(path.read_bytes())
    column = parquet.read_metadata(path).row_group(0).column(0)
    content[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    assert run.score() == (6, 6)
    path.write_bytes(b"x")
    refused(run.table)
    assert run.score() == (6, 6)


def test_an_engine_that_fails_leaves_no_lock(run):
    with pytest.raises(ZeroDivisionError) as failure:
        run.score(engine=lambda work, jobs: (1 / 0 for _ in jobs))
    assert run.score() == (9, 9) and failure


def test_a_second_run_into_the_shard_is_skipped_and_loses_nothing(run):
    only_photos(run)
    inner = []

    class Nested(Logged):
        def __call__(self, x):
            if not inner:
                inner.append(None)
                inner[0] = score(run.sources, run.out, [{"a": run.a}]).states
            return super().__call__(x)

    run.a.__class__ = Nested
    run.score("a")
    assert inner == [{"being scored by another run": 1}] and len(run.table()) == 6


def test_in_a_store_the_same_rules_hold_and_the_shard_is_the_unit(run, tmp_path):
    run.out = f"memory://again/{tmp_path.name}"
    assert run.score("a") == (9, 0)
    assert run.score() == (0, 9) and run.score() == (0, 0)
    photo(run.sources, 3, 255)
    save_tar(run.sources / "0.tar", samples([10, 250]))
    assert run.interrupt("a", 1)[0] == 1
    assert run.score()[0] in (2, 3) and len(run.table()) == 8
    assert run.table().a["3.png"] == 1
    fsspec.filesystem("memory").rm("/again", recursive=True)


def test_a_column_is_added_to_scores_of_stored_features(tmp_path, out):
    features = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    features[1] = 0
    np.save(tmp_path / "a.npy", features)
    tables = []
    for questions in (["quality"], ["quality", "sharpness"]):
        metric = CLIPIQA(backbone="mini", prompts=questions, aggregate=None)
        score_sources(metric, tmp_path / "a.npy", out=out, embeddings=True, device="cpu")
        tables.append(pandas.read_parquet(out / "a.npy.parquet"))
    assert tables[1].quality.equals(tables[0].quality) and tables[1].sharpness.isna().tolist() == [0, 1, 0, 0, 0]
    units = torch.nn.functional.normalize(torch.from_numpy(features), dim=1)
    np.testing.assert_allclose(tables[1][questions][2:], metric.score(units[2:]), atol=1e-6)
    assert tables[1].kind[1] == "not finite" and "CLIP's own 224 px" in tables[1].attrs["views"]
    assert tables[1].path.tolist() == tables[0].path.tolist() == [f"{tmp_path}/a.npy::{n}" for n in range(5)]
