"""A folder of results and its ``run.json``: nothing stale, nothing partial, nothing mixed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from forked import Forked
from shard_makers import picture, samples, save_parquet, save_tar, score
from standin import Brightness

from clipiqa_pyiqa import filter_shards, merge_shards
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli.options import model
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.images.source import ImageSource
from clipiqa_pyiqa.scoring.shards import filtered
from clipiqa_pyiqa.sources import tar
from clipiqa_pyiqa.sources.shards import ShardImage

QUESTIONS = {"prompts": ["sharpness"]}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three shards of two images each."""
    for number in range(3):
        save_tar(tmp_path / f"lake/{number}.tar", samples([10 * number, 255]))
    return tmp_path / "lake"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def score_part(folder: Path, part: str) -> None:
    score(f"{folder}/*.tar", folder.parent / "out", part=part)


def merged(out: Path, **options: Any) -> pandas.DataFrame:
    merge_shards(out, out.parent / "all.parquet", overwrite=True, **options)
    return pandas.read_parquet(out.parent / "all.parquet")


def shards_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())["shards"]
    return found


class TestStamps:
    def test_a_repaired_archive_is_scored_again(self, lake: Path, out: Path) -> None:
        whole = (lake / "1.tar").read_bytes()
        (lake / "1.tar").write_bytes(whole[:-9000])
        assert score(f"{lake}/*.tar", out).failures.total()
        (lake / "1.tar").write_bytes(whole)
        done = score(f"{lake}/*.tar", out)
        assert done.states == {"kept": 2, "changed": 1} and done.failures.total() == 0 and done.images == 6
        assert "this run: 2 kept, 1 changed" in done.sentences()

    def test_a_replaced_photo_is_scored_again(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "photos").mkdir()
        for grey in (51, 102):
            (tmp_path / "photos/a.png").write_bytes(picture(grey))
            os.utime(tmp_path / "photos/a.png", ns=(grey, grey))
            done = score(tmp_path / "photos", out)
        assert done.states == {"changed": 1} and merged(out).quality[0] == pytest.approx(0.4)

    def test_a_shard_without_stamp_is_scored_again(self, out: Path) -> None:
        class Own:
            name = "own"

            def entries(self) -> list[ImageSource]:
                return [ShardImage("own::0", picture(9))]

        states = [score(Own(), out).states for _ in range(2)]
        assert states == [{"new": 1}, {"scored again": 1}]

    def test_a_shard_that_is_gone_keeps_its_result(self, lake: Path, out: Path) -> None:
        score(f"{lake}/{{0..2}}.tar", out)
        (lake / "1.tar").unlink()
        done = score(f"{lake}/{{0..2}}.tar", out)
        assert done.states == {"kept": 3} and done.is_whole

    def test_results_of_a_changed_shard_that_cannot_be_read_are_not_used(self, lake: Path, out: Path) -> None:
        score(f"{lake}/*.tar", out)
        (lake / "1.tar").write_bytes(b"damaged")
        done = score(f"{lake}/*.tar", out)
        assert list(done.unread) == [f"{lake}/1.tar"] and done.states == {"kept": 2, "not read": 1}
        with pytest.raises(CLIPIQAError, match="has changed"):
            merge_shards(out)


class TestTheRun:
    def test_every_part_names_the_whole_set_and_stamps_are_those_known(self, lake: Path, out: Path) -> None:
        names = []
        for part in ("1/3", "2/3"):
            score(f"{lake}/*.tar", out, part=part)
            names.append({name: shard for name, (shard, _) in shards_of(out).items()})
        assert names == [{f"{number}.tar.parquet": f"{lake}/{number}.tar" for number in range(3)}] * 2
        assert [stamp is None for _, stamp in shards_of(out).values()] == [False, False, True]

    def test_parts_that_run_at_once_leave_one_whole_run(self, forked: Forked, lake: Path, out: Path) -> None:
        parts = [(lake, f"{number}/3") for number in (1, 2, 3)]
        assert forked.call(score_part, *parts, folder=lake.parent) == [0, 0, 0]
        assert list(shards_of(out)) == [f"{number}.tar.parquet" for number in range(3)] and len(merged(out)) == 6

    def test_an_unfinished_set_is_refused_unless_partial(self, lake: Path, out: Path, tmp_path: Path) -> None:
        score(f"{lake}/*.tar", out, part="1/3")
        for read in (lambda: merge_shards(out), lambda: filter_shards(out, tmp_path / "kept", above=0)):
            with pytest.raises(CLIPIQAError, match="2 of 3 shards"):
                read()
        assert len(merged(out, partial=True)) == 2 and not (tmp_path / "kept").exists()
        found = filter_shards(out, tmp_path / "kept", above=0, partial=True)
        assert found.images == 2 and found.notes[0].startswith("2 shards without")

    @pytest.mark.parametrize("place", ["sub/1.tar", None])
    def test_shards_that_are_moved_or_removed_leave_no_rows(
        self, lake: Path, out: Path, place: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        score(lake, out)
        (lake / "sub").mkdir()
        (lake / "1.tar").rename(lake / place if place else lake.parent / "1.tar")
        caplog.set_level(logging.DEBUG)
        metric = Brightness()
        encode = metric.encode_image
        metric.encode_image = lambda x: (logging.warning("scored"), encode(x))[1]  # type: ignore[method-assign]
        done = score(lake, out, metric)
        assert (done.shards, done.shard_count, done.images) == ((3, 3, 6) if place else (2, 2, 4))
        assert done.left_out == ["1.tar.parquet"] and merged(out).path.is_unique and len(merged(out)) == done.images
        lines = [record.getMessage() for record in caplog.records]
        assert "left out" in lines[0] and "1.tar.parquet" in lines[0] and lines.count("scored") == (2 if place else 0)

    def test_runs_of_fewer_shards_lose_no_results(self, lake: Path, out: Path) -> None:
        score([lake / "0.tar", lake / "1.tar"], out)
        assert score([lake / "1.tar"], out).shard_count == 1
        assert score([lake / "0.tar", lake / "1.tar"], out).states == {"kept": 2}

    @pytest.mark.parametrize("change", [QUESTIONS, {"keep": ["n"]}])
    def test_another_question_or_other_kept_values_are_refused_before_the_first_image(
        self, lake: Path, out: Path, change: dict[str, Any]
    ) -> None:
        score(f"{lake}/*.tar", out, part="1/3")
        before, metric = (out / "run.json").read_bytes(), Brightness()
        with pytest.raises(CLIPIQAError, match=r"run\.json"):
            score(f"{lake}/*.tar", out, metric, part="2/3", **change)
        assert metric.batches == [] and (out / "run.json").read_bytes() == before

    def test_a_folder_is_never_mixed(self, lake: Path, out: Path) -> None:
        score(f"{lake}/*.tar", out)
        (lake / "1.tar").write_bytes(b"damaged")
        done = score(f"{lake}/*.tar", out, overwrite=True, **QUESTIONS)
        assert done.shards == 2 and done.header.columns == ("sharpness",)
        with pytest.raises(CLIPIQAError, match="earlier run"):
            merge_shards(out)
        assert "quality" not in merged(out, partial=True)

    def test_a_damaged_result_is_scored_again(self, lake: Path, out: Path) -> None:
        score(f"{lake}/*.tar", out)
        (out / "1.tar.parquet").write_bytes(b"x")
        with pytest.raises(CLIPIQAError, match=r"1\.tar\.parquet"):
            merge_shards(out)
        assert score(f"{lake}/*.tar", out).states == {"kept": 2, "new": 1}

    def test_a_lost_run_file_is_written_again(self, lake: Path, out: Path) -> None:
        score(f"{lake}/*.tar", out)
        (out / "run.json").unlink()
        with pytest.raises(CLIPIQAError, match="no results"):
            merge_shards(out)
        with pytest.raises(CLIPIQAError, match="sharpness"):
            score(f"{lake}/*.tar", out, **QUESTIONS)
        assert score(f"{lake}/*.tar", out).states == {"kept": 3}

    def test_a_damaged_run_file_is_named(self, lake: Path, out: Path) -> None:
        score(f"{lake}/*.tar", out)
        (out / "run.json").write_text("[]")
        with pytest.raises(CLIPIQAError, match=r"run\.json"):
            merge_shards(out)


class TestColumns:
    @pytest.mark.parametrize(
        ("column", "named"), [({}, "'id'"), ({"id": ["x"]}, "int64"), ({"id": [1], "thumb": [b"x"]}, None)]
    )
    def test_differences_of_parquet_files_are_found_before_the_first_image(
        self, tmp_path: Path, out: Path, column: dict[str, Any], named: str | None
    ) -> None:
        save_parquet(tmp_path / "a.parquet", {"image": [picture(9)], "id": [1]})
        save_parquet(tmp_path / "b.parquet", {"image": [picture(9)], **column})
        metric = Brightness()
        with pytest.raises(CLIPIQAError, match=named) if named else contextlib.nullcontext():
            score(f"{tmp_path}/*.parquet", out, metric, keep=["id"])
        assert bool(metric.batches) == (named is None) == bool(list(out.glob("*")))

    def test_quantiles_are_those_of_each_columns_scores(self, lake: Path, out: Path) -> None:
        class Wide(Brightness):
            def provenance(self) -> dict[str, Any]:
                ranges = {"quality": [0, 1], "beauty": [0, 100], "niqe": [0, None]}
                scores = {name: {"range": ends, "lower_better": False} for name, ends in ranges.items()}
                return {**super().provenance(), "scores": scores}

            columns = property(lambda self: ("quality", "beauty", "niqe"), lambda self, names: None)  # type: ignore

            def score(self, features: Any, prompts: Any = None, aggregate: Any = "mean") -> Any:
                return features * features.new_tensor([1, 90, 7])

        done = score(f"{lake}/*.tar", out, Wide())
        exact = merged(out)[list(done.header.columns)].quantile([0.05, 0.5]).T
        assert np.allclose(done.quantiles([0.05, 0.5]), exact, rtol=1e-12, atol=0)


class TestFiltered:
    @pytest.mark.parametrize("below", ["", "/kept"])
    def test_new_shards_do_not_go_into_the_results(self, lake: Path, out: Path, below: str) -> None:
        score(f"{lake}/*.tar", out)
        with pytest.raises(CLIPIQAError):
            filter_shards(out, f"{out}{below}", above=0)
        assert len(list(out.iterdir())) == 4

    def test_what_a_damaged_archive_has_lost_is_not_counted(self, lake: Path, out: Path, tmp_path: Path) -> None:
        score(f"{lake}/*.tar", out)
        data = (lake / "1.tar").read_bytes()
        (lake / "1.tar").write_bytes(data[: data.index(b"0001.png") + 600])
        done = filter_shards(out, tmp_path / "kept", above=0)
        assert done.kept == 5 and list(done.problems) == [f"{lake}/1.tar"]
        assert "is truncated or damaged" in done.problems[f"{lake}/1.tar"]
        assert len(score(tmp_path / "kept", tmp_path / "again").results) == 3

    def test_members_that_are_no_longer_in_an_archive_are_not_counted(
        self, lake: Path, out: Path, tmp_path: Path
    ) -> None:
        score(f"{lake}/*.tar", out)
        save_tar(lake / "1.tar", samples([7], first=1))
        save_tar(lake / "2.tar", {"other.png": picture(9)})
        done = filter_shards(out, tmp_path / "kept", above=0)
        assert (done.kept, done.shards) == (3, 2) and list(done.problems) == [f"{lake}/1.tar", f"{lake}/2.tar"]
        assert not (tmp_path / "kept/2.tar").exists()

    def test_a_member_that_is_too_large_is_named(
        self, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shard = save_tar(tmp_path / "0.tar", {"0.png": picture(9), "0.bin": bytes(5000)})
        score(shard, out)
        for module in (tar, filtered):
            monkeypatch.setattr(module, "MOST_BYTES", 4000)
        done = filter_shards(out, tmp_path / "kept", above=0)
        assert done.kept == 1 and "its member '0.bin' is larger" in done.problems[str(shard)]


class TestCommand:
    @pytest.fixture(autouse=True)
    def fake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model, "build_metric", lambda *_: Brightness())

    def run(self, *arguments: Any) -> int:
        return main(list(map(str, arguments)))

    def test_a_misspelt_name_to_keep_is_a_line_and_exit_code_1(self, lake: Path, out: Path, capfd: Any) -> None:
        assert self.run("score", lake, "--keep", "n", "captoin", "--out", out, "--device", "cpu") == 1
        said = f"--keep names 'captoin', but no sample of '{lake}/0.tar' (and 2 more like it) has it"
        assert said in capfd.readouterr().err
