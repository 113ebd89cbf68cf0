"""Results by shard: every image once, names that do not meet, what is skipped, dealt out, merged and filtered."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from pyarrow import parquet
from shard_makers import picture, samples, save_parquet, save_tar, score
from standin import Brightness

from clipiqa_pyiqa import CLIPIQA, filter_shards, merge_shards, score_sources
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli.options import model
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.files.writing import locked
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.images.source import FileSource
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.scoring.score_files import read_any_scores
from clipiqa_pyiqa.scoring.shards.planning import part_of, result_names
from clipiqa_pyiqa.sources.finding import find_shards
from clipiqa_pyiqa.sources.inputs import sources_of
from clipiqa_pyiqa.sources.shards import FilesShard
from clipiqa_pyiqa.sources.tar import TarShard

LEVELS = {"a/000": [0, 51, 102], "a/001": [153, 204], "b/000": [255, 10]}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three shards of seven images of known brightness."""
    for name, greys in LEVELS.items():
        save_tar(tmp_path / f"lake/{name}.tar", samples(greys))
    return tmp_path / "lake"


def frame(out: Path) -> pandas.DataFrame:
    return pandas.concat([pandas.read_parquet(path) for path in sorted(out.rglob("*.parquet"))])


def slurm(task: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    """What SLURM tells a task of an array."""
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


class NotFinite(Brightness):
    """No score of a black picture."""

    def score(self, features: Any, prompts: Any = None, aggregate: Any = "mean") -> Any:
        return super().score(features / (features > 0), prompts, aggregate)


class TestResults:
    def test_a_file_for_each_shard_with_all_that_is_known_of_it(self, lake: Path, tmp_path: Path) -> None:
        keep = ["caption", "n", "tags", "width"]
        done = score([f"{lake}/{{a,b}}/*.tar"], tmp_path / "out", prompts=["quality", "sharpness"], keep=keep)
        written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
        assert written == ["a/000.tar.parquet", "a/001.tar.parquet", "b/000.tar.parquet", "run.json"]
        table = pandas.read_parquet(tmp_path / "out/a/000.tar.parquet")
        assert list(table.path) == [f"{lake}/a/000.tar::{n:04d}.png" for n in range(3)]
        assert np.allclose(table.quality, [0, 0.2, 0.4]) and np.allclose(table.sharpness, table.quality / 2)
        assert list(table.caption) == ["grey 0", "grey 51", "grey 102"] and list(table.n) == [0, 1, 2]
        assert table.tags[0] == '["a"]' and list(table.kept_width) == [None] * 3
        assert table.attrs["shard"] == f"{lake}/a/000.tar" and table.attrs["metric"] == "brightness"
        header, rows = read_results(tmp_path / "out/a/000.tar.parquet")
        assert header.columns == ("quality", "sharpness") and len(rows) == 3
        assert (done.shards, done.shard_count, done.images, done.failures.total()) == (3, 3, 7, 0) and done.is_whole
        assert done.quantiles([0.5]).iloc[0, 0] == 0.4

    def test_every_image_has_a_row_and_failures_are_counted_by_kind(self, tmp_path: Path) -> None:
        members = {"memory/nan.png": picture(0), "undamaged/empty.png": b"", "not finite/0.png": b"x"}
        members |= {
            "ok.png": picture(9),
            "truncated.png": None,
            "small.png": picture(1, (8, 8)),
            "../3.png": picture(1),
        }
        save_tar(tmp_path / "0.tar", members)
        (tmp_path / "too small.png").mkdir()
        loose = [tmp_path / "0.tar", tmp_path / "is empty.png", FileSource(str(tmp_path / "too small.png"))]
        done = score_sources(NotFinite(), loose, out=tmp_path / "out", device="cpu")
        found = {"not finite": 1, "empty": 1, "not an image": 1, "not a file": 2, "too small": 1, "path outside": 1}
        assert done.failures == found and list(done.unread) == [f"{tmp_path}/is empty.png"]
        rows = frame(tmp_path / "out").set_index("path")
        assert rows.kind.value_counts().to_dict() == found and pandas.isna(rows.kind[f"{tmp_path}/0.tar::ok.png"])
        assert rows.kind[f"{tmp_path}/0.tar::memory/nan.png"] == "not finite"

    def test_loose_files_parquet_and_empty_shards_together(self, tmp_path: Path) -> None:
        for name in ("one.png", "raw.nef"):
            (tmp_path / name).write_bytes(picture(51))
        save_parquet(tmp_path / "t.parquet", {"image": [picture(102), None], "id": [7, 8]})
        save_tar(tmp_path / "0.tar", {"a.txt": b"x"})
        done = score([tmp_path, tmp_path / "t.parquet", tmp_path / "0.tar"], tmp_path / "out")
        assert np.allclose(pandas.read_parquet(tmp_path / "out/t.parquet.parquet").quality[0], 0.4)
        assert list(pandas.read_parquet(tmp_path / "out/files-00000.parquet").path) == [f"{tmp_path}/one.png"]
        assert done.shards == 3 and not read_results(tmp_path / "out/0.tar.parquet")[1]
        assert done.sentences()[-1].startswith("1 skipped: .nef; convert")

    def test_kept_values_of_changing_types(self, tmp_path: Path) -> None:
        members: dict[str, bytes | None] = {}
        for n, value in enumerate([1, "two", {"three": 3}, None]):
            members |= {f"{n}.png": picture(n), f"{n}.json": json.dumps({"v": value}).encode()}
        score(save_tar(tmp_path / "0.tar", members), tmp_path / "out", keep=["v"])
        assert list(pandas.read_parquet(tmp_path / "out/0.tar.parquet").v)[:3] == ["1", "two", '{"three": 3}']


class TestResuming:
    def test_finished_shards_are_skipped(self, lake: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        score(f"{lake}/{{a,b}}/*.tar", out)
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
        (out / "b/000.tar.parquet").unlink()
        told: list[tuple[int, int, int]] = []
        score(f"{lake}/{{a,b}}/*.tar", out, progress=lambda *numbers: told.append(numbers))
        assert told[-1] == (2, 3, 3)
        assert [path.stat().st_mtime_ns == time for path, time in before.items()].count(True) == 2
        score(f"{lake}/{{a,b}}/*.tar", out, overwrite=True, progress=lambda *numbers: told.append(numbers))
        assert told[-1] == (7, 3, 3)

    @pytest.mark.parametrize("content", [b"none", None])
    def test_a_shard_that_cannot_be_read_is_tried_again(
        self, lake: Path, tmp_path: Path, content: bytes | None
    ) -> None:
        if content is not None:
            (lake / "a/002.tar").write_bytes(content)
        done = score(f"{lake}/a/{{000..002}}.tar", tmp_path / "out")
        assert (done.shards, done.shard_count, done.is_whole) == (2, 3, False)
        why = "does not exist" if content is None else "is not a tar archive"
        assert why in done.unread[f"{lake}/a/002.tar"] and not (tmp_path / "out/002.tar.parquet").exists()
        save_tar(lake / "a/002.tar", samples([1]))
        assert score(f"{lake}/a/{{000..002}}.tar", tmp_path / "out").is_whole

    def test_results_of_other_files_are_not_replaced_unasked(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos/a.png").write_bytes(picture(51))
        score(tmp_path / "photos", tmp_path / "out")
        (tmp_path / "photos/b.png").write_bytes(picture(51))
        with pytest.raises(CLIPIQAError, match="files-00000"):
            score(tmp_path / "photos", tmp_path / "out")
        score(tmp_path / "photos", tmp_path / "out", overwrite=True)
        assert len(frame(tmp_path / "out")) == 2

    def test_a_file_of_another_program_is_never_replaced(self, lake: Path, tmp_path: Path) -> None:
        save_parquet(tmp_path / "out/000.tar.parquet", {"mine": [1]})
        for overwrite in (False, True):
            with pytest.raises(CLIPIQAError, match=r"000\.tar\.parquet"):
                score(f"{lake}/a/000.tar", tmp_path / "out", overwrite=overwrite)
        assert parquet.read_table(tmp_path / "out/000.tar.parquet").column_names == ["mine"]

    def test_a_shard_that_another_run_scores_is_left_to_it(self, lake: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with locked(tmp_path / "out/000.tar.parquet"):
            done = score(f"{lake}/a/*.tar", tmp_path / "out")
        assert done.shards == 1 and done.states == {"being scored by another run": 1, "new": 1}


def test_results_in_a_store(lake: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = score(f"{lake}/{{a,b}}/*.tar", "memory://results/run")
        assert done.is_whole and done.scored == 7
    assert score(f"{lake}/a/000.tar", "memory://results/one").images == 3
    merge_shards("memory://results/run", tmp_path / "all.csv")
    assert len(pandas.read_csv(tmp_path / "all.csv")) == 7
    assert filter_shards("memory://results/run", tmp_path / "kept", above=0.5).kept == 3
    assert sorted(path.name for path in tmp_path.glob("kept/*/*.tar")) == ["000.tar", "001.tar"]


class TestParts:
    def test_parts_score_every_image_once(self, lake: Path, tmp_path: Path) -> None:
        for part in ("1/2", "2/2"):
            done = score(f"{lake}/{{a,b}}/*.tar", tmp_path / "out", part=part)
        assert done.is_whole and frame(tmp_path / "out").path.is_unique and done.images == 7

    def test_a_task_of_a_slurm_array_has_its_part(self) -> None:
        assert part_of("slurm", slurm(7, 5, 7, 3)) == (3, 3) and part_of("1/2", slurm(7, 5, 7, 3)) == (1, 2)
        steps = [part_of("slurm", slurm(task, 1, 9, 5, step=2)) for task in range(1, 10, 2)]  # --array=1-10:2
        assert steps == [(number, 5) for number in range(1, 6)]

    @pytest.mark.parametrize(
        ("environment", "named"),
        [({}, "sbatch"), ({"SLURM_ARRAY_TASK_ID": "7"}, "sbatch"), (slurm(2, 0, 5, 3), "part='I/3'")],
        ids=["no task", "no array", "gaps"],
    )
    def test_a_task_without_a_regular_array_has_no_part(self, environment: dict[str, str], named: str) -> None:
        with pytest.raises(CLIPIQAError, match=named):
            part_of("slurm", environment)

    @pytest.mark.parametrize(("environment", "is_said"), [({"SLURM_ARRAY_TASK_ID": "7"}, True), ({}, False)])
    def test_without_part_a_slurm_task_scores_all_shards_and_says_so(
        self, environment: dict[str, str], is_said: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert part_of(None, environment) == (1, 1) and ("part='slurm'" in caplog.text) == is_said

    @pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", ""])
    def test_a_part_that_is_not_i_of_n_is_refused(self, text: str) -> None:
        with pytest.raises(CLIPIQAError):
            part_of(text)


class TestMerging:
    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
    def test_all_results_are_merged_into_one_file(self, lake: Path, tmp_path: Path, suffix: str) -> None:
        save_tar(lake / "c.tar", {"0.png": picture(51), "0.json": b'{"n": 0.5}'})
        score([f"{lake}/{{a,b}}/*.tar", lake / "c.tar"], tmp_path / "out", keep=["n", "caption"])
        merge_shards(tmp_path / "out", tmp_path / f"all{suffix}")
        scores = read_any_scores(tmp_path / f"all{suffix}", columns=["quality", "n"])
        assert np.allclose(scores.frame.quality * 255, [0, 51, 102, 153, 204, 255, 10, 51])
        assert list(scores.frame.n) == [0, 1, 2, 0, 1, 0, 1, 0.5]
        if suffix == ".parquet":
            assert len(read_results(tmp_path / "all.parquet")[1]) == 8

    def test_only_a_folder_of_results_is_merged(self, lake: Path, tmp_path: Path) -> None:
        for folder in (tmp_path / "none", lake):
            with pytest.raises(CLIPIQAError, match="no results"):
                merge_shards(folder)

    def test_the_merged_file_lies_outside_and_replaces_no_file(self, lake: Path, tmp_path: Path) -> None:
        score(f"{lake}/a/*.tar", tmp_path / "out")
        merge_shards(tmp_path / "out")
        for path, named in ((tmp_path / "out/all.parquet", "lies in"), (None, "exists")):
            with pytest.raises(CLIPIQAError, match=named):
                merge_shards(tmp_path / "out", path)

    def test_shards_whose_kept_columns_differ_in_type_are_not_merged(self, lake: Path, tmp_path: Path) -> None:
        save_tar(lake / "a/002.tar", {"0.png": picture(51), "0.json": b'{"n": "x"}'})
        score(f"{lake}/a/*.tar", tmp_path / "kept", keep=["n"])
        with pytest.raises(CLIPIQAError, match=r"\bn\b"):
            merge_shards(tmp_path / "kept")


class TestFiltering:
    def test_samples_are_copied_byte_for_byte_with_their_sidecars(self, lake: Path, tmp_path: Path) -> None:
        score(f"{lake}/{{a,b}}/*.tar", tmp_path / "out")
        done = filter_shards(tmp_path / "out", tmp_path / "kept", above=0.39, below=0.9)
        assert (done.kept, done.images, done.shards) == (3, 7, 2)
        for name, wanted in (("a/000", ["0002"]), ("a/001", ["0000", "0001"])):
            with tarfile.open(lake / f"{name}.tar") as old, tarfile.open(tmp_path / f"kept/{name}.tar") as new:
                members = new.getmembers()
                assert [m.name for m in members] == [f"{w}.{s}" for w in wanted for s in ("png", "json", "txt")]
                for member in members:
                    content = [archive.extractfile(member.name).read() for archive in (old, new)]  # type: ignore[union-attr]
                    assert content[0] == content[1]
        with pytest.raises(CLIPIQAError, match="kept"):
            filter_shards(tmp_path / "out", tmp_path / "kept", above=0.5)

    def test_rows_of_parquet_are_copied_by_any_column(self, tmp_path: Path) -> None:
        schema = pyarrow.schema({"image": pyarrow.binary(), "id": pyarrow.int8()}, metadata={"huggingface": "{}"})
        save_parquet(
            tmp_path / "t.parquet", {"image": [picture(n * 50) for n in range(5)], "id": list(range(5))}, schema
        )
        score(tmp_path / "t.parquet", tmp_path / "out", keep=["id"])
        done = filter_shards(tmp_path / "out", tmp_path / "kept", above=3, column="id")
        table = parquet.read_table(tmp_path / "kept/t.parquet")
        assert (
            done.kept == 2 and table["id"].to_pylist() == [3, 4] and table.schema.equals(schema, check_metadata=False)
        )
        assert table.schema.metadata[b"huggingface"] == b"{}" and table["image"][0].as_py() == picture(150)

    @pytest.mark.parametrize("lower_better", [False, True])
    def test_shares_go_by_the_direction_and_are_rounded_down(
        self, lake: Path, tmp_path: Path, lower_better: bool
    ) -> None:
        metric = Brightness()
        metric.lower_better = lower_better
        score(f"{lake}/{{a,b}}/*.tar", tmp_path / "out", metric)
        done = filter_shards(tmp_path / "out", tmp_path / "kept", best="30%", below="80%")
        kept = sorted(int(read_image(image).pixels.max()) for image in sources_of(find_shards(tmp_path / "kept").items))
        assert kept == ([51, 102] if lower_better else [102, 153]) and done.kept == 2

    @pytest.mark.parametrize(
        ("asked", "named"),
        [
            ({"above": "x"}, "above"),
            ({"above": "110%"}, "above"),
            ({"drop_worst": 0.1}, "drop_worst"),
            ({"worst": -1}, "worst"),
            ({}, "which images"),
            ({"above": 0, "column": "x"}, "'x'"),
            ({"above": 0, "column": "path"}, "string"),
        ],
    )
    def test_conditions_that_cannot_be_met_are_refused(
        self, lake: Path, tmp_path: Path, asked: dict[str, Any], named: str
    ) -> None:
        score(f"{lake}/a/000.tar", tmp_path / "out")
        with pytest.raises(CLIPIQAError, match=named):
            filter_shards(tmp_path / "out", tmp_path / "kept", **asked)

    def test_a_shard_that_is_gone_is_named_and_the_others_are_copied(self, lake: Path, tmp_path: Path) -> None:
        score(f"{lake}/a/*.tar", tmp_path / "out")
        (lake / "a/000.tar").unlink()
        done = filter_shards(tmp_path / "out", tmp_path / "kept", above=0)
        assert done.shards == 1 and list(done.problems) == [f"{lake}/a/000.tar"]

    def test_of_equal_images_as_many_as_asked_in_order_of_name(self, tmp_path: Path) -> None:
        save_tar(tmp_path / "s.tar", {f"{n}.png": picture(51) for n in range(9, -1, -1)})
        score(tmp_path / "s.tar", tmp_path / "out")
        for number, (asked, kept) in enumerate([({"worst": 2}, range(2)), ({"drop_worst": "50%"}, range(5, 10))]):
            filter_shards(tmp_path / "out", tmp_path / f"kept{number}", **asked)
            names = sorted(image.name[-5] for image in sources_of(find_shards(tmp_path / f"kept{number}").items))
            assert names == list(map(str, kept))

    def test_what_is_written_is_counted_and_samples_with_several_images_are_named(self, tmp_path: Path) -> None:
        members = {f"2024.05.{n:02d}.png": picture(40 * n) for n in range(6)}
        save_tar(tmp_path / "s.tar", {**members, "2025.png": b"x", "2026.png": picture(0)})
        score(tmp_path / "s.tar", tmp_path / "out")
        done = filter_shards(tmp_path / "out", tmp_path / "kept", best=3)
        assert (done.kept, done.images, done.unscored) == (6, 8, 1)
        assert done.together == {f"{tmp_path}/s.tar::2024": 6}
        assert len(list(sources_of(find_shards(tmp_path / "kept").items))) == 6
        assert len(done.sentences()) == 3

    def test_loose_files_are_not_copied(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(picture(51))
        score(tmp_path / "a.png", tmp_path / "out")
        done = filter_shards(tmp_path / "out", tmp_path / "kept", above=0)
        assert done.kept == 0 and [name.split()[0] for name in done.problems] == ["files-00000"]


def test_scores_of_stored_features(compact: Path, tmp_path: Path) -> None:
    metric = CLIPIQA(backbone="mini", clip_weights=compact, aggregate=None, prompts=["quality", "sharpness"])
    features = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float16)
    (tmp_path / "img_emb").mkdir()
    np.save(tmp_path / "img_emb/img_emb_0.npy", features)
    options: dict[str, Any] = {"embeddings": True, "device": "cpu"}
    score_sources(metric, tmp_path / "img_emb", out=tmp_path / "out", **options)
    table = pandas.read_parquet(tmp_path / "out/img_emb_0.npy.parquet")
    units = torch.nn.functional.normalize(torch.from_numpy(features).float(), dim=1)
    assert np.allclose(table[["quality", "sharpness"]], metric.score(units).numpy(), atol=1e-6)
    assert table.path[5].endswith("img_emb_0.npy::5") and "CLIP's own 224 px" in table.attrs["views"]
    np.save(tmp_path / "img_emb/img_emb_0.npy", features[:, :32])
    done = score_sources(metric, tmp_path / "img_emb", out=tmp_path / "other", **options)
    assert "features of shape (6, 32), but mini has 64 floats" in next(iter(done.unread.values()))


class TestCommand:
    @pytest.fixture
    def clipiqa(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
        monkeypatch.setattr(model, "build_metric", lambda *_: Brightness())

        def run(*arguments: str | Path) -> SimpleNamespace:
            code = main(list(map(str, arguments)))
            out, err = capfd.readouterr()
            assert "Traceback" not in err
            return SimpleNamespace(code=code, out=out, err=err)

        return run

    def test_score_merge_and_rank(self, clipiqa: Any, lake: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        ran = clipiqa("score", f"{lake}/{{a,b}}/{{000..001}}.tar", "--keep", "n", "--out", out, "--device", "cpu")
        assert ran.code == 1 and "b/001.tar' does not exist" in ran.err
        ran = clipiqa("score", f"{lake}/{{a,b}}/*.tar", "--keep", "n", "--out", out, "--device", "cpu")
        assert ran.code == 0 and "7 images: 7 scored, 0 failed" in ran.err and "50 %" in ran.err
        assert clipiqa("score", "--merge", out, "--out", tmp_path / "all.csv").code == 0
        assert len(pandas.read_csv(tmp_path / "all.csv")) == 7
        ran = clipiqa("rank", out, "--best", "2", "--lower-better", "--write-shards", tmp_path / "dark")
        dark = sorted(int(read_image(image).pixels.max()) for image in sources_of(find_shards(tmp_path / "dark").items))
        assert ran.code == 0 and "2 of 7 images kept, in 2 new shards" in ran.err and dark == [0, 10]

    @pytest.mark.parametrize(
        "command", ["score --merge out --out all.csv", "rank out --worst 1", "rank out --above 0 --write-shards kept"]
    )
    def test_an_unfinished_folder_of_results_needs_partial(
        self, clipiqa: Any, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        score(f"{lake}/a/*.tar", tmp_path / "out", part="1/2")
        ran = clipiqa(*command.split())
        assert ran.code == 2 and "--partial" in ran.err
        assert clipiqa(*command.split(), "--partial").code == 0

    @pytest.mark.parametrize(
        "more", ["--copy-to x", "--paths", "--page x", "--columns path quality", "--count 3", "--out x", "--stars"]
    )
    def test_options_that_do_not_go_with_new_shards_are_refused(
        self, clipiqa: Any, lake: Path, tmp_path: Path, more: str
    ) -> None:
        score(f"{lake}/a/000.tar", tmp_path / "out")
        ran = clipiqa("rank", tmp_path / "out", "--best", "1", "--write-shards", tmp_path / "kept", *more.split())
        assert ran.code == 2 and "give them in a second call" in ran.err

    def test_a_folder_of_results_is_ranked_as_its_merged_file(self, clipiqa: Any, lake: Path, tmp_path: Path) -> None:
        score(f"{lake}/a/*.tar", tmp_path / "out")
        merge_shards(tmp_path / "out", tmp_path / "all.parquet")
        found = [clipiqa("rank", place, "--worst", "40%").out for place in (tmp_path / "out", tmp_path / "all.parquet")]
        assert found[0] == found[1] and found[0].count("::") == 2
        ran = clipiqa("rank", tmp_path / "out", "--page", tmp_path / "page")
        assert ran.code == 0 and (tmp_path / "page/browse.html").is_file()

    def test_shards_into_one_plain_file_and_on_the_terminal(self, clipiqa: Any, lake: Path, tmp_path: Path) -> None:
        ran = clipiqa("score", f"{lake}/a/{{000..001}}.tar", "--out", tmp_path / "s.csv", "--device", "cpu")
        assert ran.code == 0 and len(pandas.read_csv(tmp_path / "s.csv")) == 5
        ran = clipiqa("score", f"{lake}/*/*.tar", "--out", tmp_path / "s.csv", "--resume", "--device", "cpu")
        assert "2 scored, 0 failed" in ran.err and "5 done before" in ran.err
        assert clipiqa("score", f"{lake}/a/000.tar", "--device", "cpu").out.count("000.tar::") == 3

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["none/{0..9}.tar", "--out", "out"], "'none/0.tar' does not exist (and 9 more like it)"),
            (["a.tar", "--keep", "x", "--out", "s.csv"], "--keep"),
            (["a.tar", "--part", "9/8", "--out", "out"], "--part must be I/N"),
            (["a.tar", "--merge", "out"], "--merge"),
            (["x.npy", "--embeddings", "--out", "out"], "embeddings"),
        ],
    )
    def test_bad_options_are_refused_in_one_sentence(
        self, clipiqa: Any, tmp_path: Path, monkeypatch: Any, arguments: list[str], named: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        save_tar(tmp_path / "a.tar", samples([1]))
        np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
        ran = clipiqa("score", *arguments, "--device", "cpu")
        assert ran.code == 2 and ran.err.count("error: ") == 1 and named in ran.err


def test_names_of_results_do_not_meet() -> None:
    def names(*shards: str) -> list[str]:
        return result_names([FilesShard(0, []) if shard == "files" else TarShard(shard) for shard in shards])

    assert names("/d/a/000.tar", "/d/b/000.tar", "/d/b/000.parquet", "/d/b/x.tar.gz", "files") == [
        *("a/000.tar", "b/000.tar", "b/000.parquet", "b/x.tar.gz", "files-00000")
    ]
    assert names("s3://bucket/x/0.tar", "s3://bucket/y/0.tar") == ["x/0.tar", "y/0.tar"]
    assert names("/d/../e/0.tar") == ["0.tar"]
