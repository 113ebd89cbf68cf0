"""The engine and what it keeps: changed images and metrics, several metrics of one run, one of which may fail."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from forked import Forked
from PIL import Image
from shard_makers import picture, save_parquet
from standin import Brightness

from clipiqa_pyiqa import CLIPIQA, score_paths, score_sources
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.compare import compare
from clipiqa_pyiqa.errors import CLIPIQAError, Kind
from clipiqa_pyiqa.images import batches
from clipiqa_pyiqa.scoring import engine
from clipiqa_pyiqa.scoring.engine import Options, plan
from clipiqa_pyiqa.scoring.metrics import metric_set
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.scoring.score_files import read_any_scores

MINI = "clipiqa:backbone=mini"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty noisy images of one size, the brighter the later."""
    folder, generator = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(20):
        pixels = generator.integers(0, 40, (112, 112, 3)) + 10 * number
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


class Weighted:
    """A metric object with weights."""

    lower_better, score_range = True, "~0, ~"

    def __init__(self, weight: float) -> None:
        self.weight = torch.tensor(weight)
        self._calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self._calls += 1
        return x.mean().view(1, 1) * self.weight


def replace_image(path: Path) -> None:
    Image.new("RGB", (112, 112), "white").save(path)


class TestChanges:
    def test_score_scores_a_replaced_image_again(self, photos: Path, tmp_path: Path) -> None:
        out = tmp_path / "s.csv"
        before = [row.scores for row in score_paths(Brightness(), photos, out=out)]
        replace_image(photos / "03.png")
        metric = Brightness()
        run = score_paths(metric, photos, out=out, resume=True)
        assert (run.earlier.kept, run.earlier.changed, run.earlier.new, run.names) == (
            19,
            1,
            0,
            (str(photos / "03.png"),),
        )
        assert [row.scores for row in run] == [(1.0,)] and metric.batches == [(1, 3, 112, 112)]
        before[3] = (1.0,)
        assert sorted(row.scores for row in read_results(out)[1]) == sorted(before)
        assert list(score_paths(Brightness(), photos, out=out, resume=True)) == []

    def test_compare_scores_a_replaced_image_again(self, photos: Path, tmp_path: Path) -> None:
        metric = Weighted(1.0)
        for calls in (20, 21, 21):
            found = compare({"m": metric}, str(photos), out=tmp_path / "out", resume=True).data_sets[0]
            assert metric._calls == calls
            replace_image(photos / "03.png") if calls == 20 else None
        assert found.scores["m"].iloc[3] == 1.0 and found.scores["m"].iloc[4] < 1

    @pytest.mark.parametrize("kind", ["an object with weights", "a metric of pyiqa with plain values"])
    def test_compare_tells_a_changed_metric_from_the_old_one(self, kind: str, photos: Path, tmp_path: Path) -> None:
        scores = []
        for change in (1.0, 1.5):
            metric: Any = Weighted(change)
            if "pyiqa" in kind:
                metric = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=_niqe_file(tmp_path))
                metric.net.mu_pris_param = change * metric.net.mu_pris_param
            found = compare({"m": metric}, str(photos), out=tmp_path / "out", resume=True)
            scores.append(found.data_sets[0].scores["m"])
        assert (scores[0] != scores[1]).all()

    def test_a_function_is_never_resumed_and_a_line_says_so(
        self, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            rows = list(score_paths([lambda x: x.mean()], photos, out=tmp_path / "s.csv", resume=True))
            assert len(rows) == 20
        assert "scored again" in caplog.text

    def test_a_run_that_is_broken_off_and_resumed_has_the_rows_of_a_whole_run(
        self, photos: Path, tmp_path: Path
    ) -> None:
        run = score_paths(Brightness(), photos, out=tmp_path / "s.csv")
        for _ in range(18):
            next(run)
        run.close()
        rest = Brightness()
        list(score_paths(rest, photos, out=tmp_path / "s.csv", resume=True))
        assert len(rest.batches) == 2
        whole = [(row.path, row.scores) for row in score_paths(Brightness(), photos)]
        assert sorted((row.path, row.scores) for row in read_results(tmp_path / "s.csv")[1]) == whole

    def test_a_resumed_run_scores_a_block_again_in_which_the_run_was_broken_off(self) -> None:
        items: Any = range(40)
        metrics, options = metric_set(Brightness()), Options(torch.device("cuda"), batch_size=2)
        known = {**dict.fromkeys(range(18), True), 3: False}  # image 3 has failed
        whole = {task.item: task.block for task in plan(items, metrics, options)}
        resumed: dict[Any, Any] = {task.item: task.block for task in plan(items, metrics, options, known.get)}
        assert list(resumed) == [3, *range(16, 40)] and resumed.items() <= whole.items()

    def test_a_failed_image_outside_of_a_resumed_runs_paths_keeps_its_row(self, photos: Path, tmp_path: Path) -> None:
        (photos / "20.png").touch()
        list(score_paths(Brightness(), photos, out=tmp_path / "s.csv"))
        list(score_paths(Brightness(), photos / "03.png", out=tmp_path / "s.csv", resume=True))
        kinds = {row.path: row.kind for row in read_results(tmp_path / "s.csv")[1]}
        assert len(kinds) == 21 and kinds[str(photos / "20.png")] is Kind.EMPTY

    def test_a_file_that_is_named_twice_is_one_image_with_and_without_out(self, photos: Path, tmp_path: Path) -> None:
        paths = [str(photos / "03.png"), f"{photos}/../photos/03.png", photos / "04.png"]
        alone = [row.path for row in score_paths(Brightness(), paths)]
        assert alone == [row.path for row in score_paths(Brightness(), paths, out=tmp_path / "s.csv")]
        assert len(alone) == 2


def _niqe_file(folder: Path) -> Path:
    """Parameters for NIQE, made up."""
    from scipy.io import savemat

    generator = np.random.default_rng(1)
    spread = generator.normal(size=(36, 80))
    savemat(folder / "niqe.mat", {"mu_prisparam": generator.normal(size=(1, 36)), "cov_prisparam": np.cov(spread)})
    return folder / "niqe.mat"


class TestSeveral:
    def test_metrics_of_pyiqa_and_objects_score_beside_clip_and_as_alone(self, photos: Path, tmp_path: Path) -> None:
        niqe = f"mine=niqe:pretrained_model_path={_niqe_file(tmp_path)}"
        entropy = pyiqa.create_metric("entropy", device="cpu")
        given = [MINI, niqe, "piqe", {"object": entropy}, {"own": Weighted(3.0)}]
        out = tmp_path / "s.csv"
        rows = list(score_paths(given, photos, out=out, device="cpu"))
        scales = read_any_scores(out).scales
        assert {name: scale.lower_better for name, scale in scales.items()} == {
            "clipiqa": False, "mine": True, "piqe": True, "object": False, "own": True,
        }  # fmt: skip
        assert (scales["piqe"].low, scales["piqe"].high, scales["own"].low, scales["own"].high) == (0, 100, None, None)
        theirs = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=str(tmp_path / "niqe.mat"))
        row = rows[7]
        assert np.float32(row.scores[1]) == np.float32(theirs(row.path).item())
        assert np.float32(row.scores[3]) == np.float32(entropy(row.path).item())
        (alone,) = score_paths(CLIPIQA(backbone="mini"), row.path, device="cpu")
        assert row.scores[0] == pytest.approx(alone.scores[0], abs=2e-6)
        compared = compare(given[1:], str(photos)).data_sets[0].scores
        assert compared["piqe"].tolist() == [row.scores[2] for row in rows]
        score_sources(given, photos, out=tmp_path / "shards", device="cpu")
        table = pandas.read_parquet(tmp_path / "shards/files-00000.parquet")
        assert [tuple(each) for each in table[list(scales)].to_numpy()] == [row.scores for row in rows]

    def test_a_metric_that_fails_leaves_the_others_scores(self, photos: Path, tmp_path: Path) -> None:
        Image.new("RGB", (20, 20)).save(photos / "small.png")

        def picky(x: torch.Tensor) -> float:
            if x.mean() > 0.5:
                raise RuntimeError("too bright")
            return 0.5

        run = score_paths([MINI, {"picky": picky}, {"own": Weighted(1.0)}], photos, out=tmp_path / "s.csv")
        rows = list(run)
        small, bright = rows[-1], rows[-2]
        assert small.scores == (None, 0.5, 0.0) and small.kind is Kind.TOO_SMALL and "small.png" in small.error
        assert bright.scores is not None and bright.scores[1] is None and bright.scores[0] and bright.scores[2]
        assert bright.kind is Kind.OTHER and "picky: RuntimeError: too bright" in bright.error
        assert read_results(tmp_path / "s.csv")[1] == rows

    def test_an_image_that_cannot_be_stacked_for_clip_is_scored_by_metrics_of_pyiqa(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failures: list[Exception] = [MemoryError()]

        def fail_once(*arguments: Any) -> torch.Tensor:
            if failures:
                raise failures.pop()
            return batches.stacked(*arguments)

        monkeypatch.setattr(engine, "stacked", fail_once)
        (row,) = score_paths([MINI, "piqe"], photos / "03.png", device="cpu")
        assert row.scores is not None and row.scores[0] is None and row.scores[1] is not None
        assert row.kind is Kind.OUT_OF_MEMORY

    def test_what_cannot_be_built_is_empty_and_strict_stops_at_once(self, photos: Path, tmp_path: Path) -> None:
        broken = "niqe:version=nobodys"
        rows = list(score_paths(["entropy", broken], photos))
        assert all(row.scores[0] and row.scores[1] is None and "cannot be built" in row.error for row in rows)
        for given, strict in ((["entropy", broken], True), (broken, False)):
            with pytest.raises(CLIPIQAError, match="niqe"):
                score_paths(given, photos, strict=strict)
        elsewhere = pickle.loads(pickle.dumps(metric_set(["entropy", broken]))).on(torch.device("cpu"))
        with pytest.raises(CLIPIQAError, match="built"):
            elsewhere.metrics[1].score()

    def test_the_command_scores_by_any_metric_and_rank_and_gate_know_its_good_end(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Image.new("RGB", (20, 20)).save(photos / "small.png")
        out = tmp_path / "s.csv"
        assert main(["score", str(photos), "-m", MINI, "piqe", "entropy", "--out", str(out)]) == 1
        assert "20 scored, 1 failed" in capsys.readouterr().err
        assert pandas.read_csv(out)["entropy"].notna().all()
        assert main(["rank", str(out), "--by", "piqe", "--worst", "1"]) == 0
        assert "lower is better (as s.csv says)" in capsys.readouterr().err
        assert main(["gate", str(out), str(out), "--by", "piqe", "--skip-missing"]) == 0
        assert "lower is better" in capsys.readouterr().out
        assert main(["score", str(photos), "--embeddings", "-m", "piqe", "--out", str(tmp_path / "e/")]) == 2

    def test_clip_metrics_alone_do_not_import_pyiqa(self, photos: Path, tmp_path: Path, forked_bare: Forked) -> None:
        code = f"import sys; from clipiqa_pyiqa import score_paths; rows = [*score_paths([{MINI!r}], {str(photos)!r})]"
        ran = forked_bare.run([], tmp_path, code=f"{code}\nprint(len(rows), 'pyiqa' in sys.modules)")
        assert ran.out == "20 False\n", ran.err


def test_a_zero_row_of_stored_features_is_one_failed_image(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    features[1] = 0
    np.save(tmp_path / "a.npy", features)
    found = score_sources(CLIPIQA(backbone="mini"), tmp_path / "a.npy", out=tmp_path / "out", embeddings=True)
    assert (found.scored, found.failures) == (2, {"not finite": 1})
    table = pandas.read_parquet(tmp_path / "out/a.npy.parquet")
    assert table["quality"].isna().tolist() == [False, True, False]


def test_a_full_disk_while_rows_are_copied_ends_the_command_and_is_no_damage(tmp_path: Path) -> None:
    rows = {"image": [picture(grey, (200, 200), "BMP") for grey in range(0, 250, 10)], "n": list(range(25))}
    save_parquet(tmp_path / "t.parquet", rows)
    score_sources(Brightness(), tmp_path / "t.parquet", out=tmp_path / "out", device="cpu")
    code = (
        "import resource, sys; from clipiqa_pyiqa.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); sys.exit(main())"
    )
    command = ["rank", tmp_path / "out", "--above", "0.5", "--write-shards", tmp_path / "kept"]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True)
    assert ran.returncode == 2 and "File too large" in ran.stderr and "damaged" not in ran.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["score", "a.png", "-b", "mini"],
        ["map", "none.png", "-b", "mini", "--out", "maps"],
        ["rank", "none.png", "-b", "mini"],
        ["compare", "-m", MINI, "-d", "none.csv"],
        ["table", "--methods", "a=none", "b=none", "-m", "entropy"],
        ["demo"],
        ["sweep", "a.png", "-b", "mini", "--changes", "contrast", "--steps", "3", "--scales", "1"],
        ["pairs", ".", ".", "-b", "mini"],
        ["radar", "a.png", "-b", "mini"],
        ["agreement", "votes.csv", "-b", "mini"],
    ],
    ids=lambda command: command[0],
)
def test_threads_of_every_command_that_scores_sleep_while_they_wait(command: list[str], tmp_path: Path) -> None:
    import os

    for name in ("a.png", "b.png"):
        Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / name)
    (tmp_path / "votes.csv").write_text("attribute,first,second,choice\nquality,a.png,b.png,first\n")
    variables: dict[str, Any] = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    code = "import sys; from clipiqa_pyiqa.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=variables | {"OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "1"},
    )
    if "OPENMP DISPLAY ENVIRONMENT" in ran.stderr and "GOMP_" not in ran.stderr:
        pytest.skip("torch does not use GNU's OpenMP here")
    assert "GOMP_SPINCOUNT = '0'" in ran.stderr
