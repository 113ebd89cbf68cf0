"""The engine and what it keeps: changed images and metrics, several metrics of one run, one of which may fail."""

import os
import shutil
from functools import partial

import numpy as np
import pyiqa
import pytest
import torch
from assertions import refused
from metrics import Brightness
from PIL import Image
from result_files import read_results
from shard_makers import picture

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.weights.published import MINI_FILE
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.scoring import processes
from clipiqa_pyiqa.workbench.scoring.processes import Processes

MINI = "clipiqa=mini"


@pytest.fixture
def photos(tmp_path):
    """Twenty noisy images of one size, the brighter the later."""
    folder = tmp_path / "photos"
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(20):
        pixels = generator.integers(0, 40, (112, 112, 3)) + 10 * number
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


class Weighted:
    """A metric object with weights."""

    lower_better, score_range = True, "~0, ~"

    def __init__(self, weight):
        self.weight = torch.tensor(weight)

    def __call__(self, x):
        return x.mean().view(1, 1) * self.weight


# Changes


def test_score_scores_a_replaced_image_again(photos, csv):
    before = [row.scores for row in score_paths(Brightness(), photos, out=csv)]
    Image.new("RGB", (112, 112), "white").save(photos / "03.png")
    run = score_paths(Brightness(), photos, out=csv, resume=True)
    assert (run.tally.unchanged, run.tally.changed, run.tally.new) == (19, 1, 0)
    assert [row.scores for row in run] == [(1.0,)]
    before[3] = (1.0,)
    assert sorted(row.scores for row in read_results(csv)[1]) == sorted(before)
    assert list(score_paths(Brightness(), photos, out=csv, resume=True)) == []


def test_a_failed_image_outside_of_a_resumed_runs_paths_keeps_its_row(photos, csv):
    (photos / "20.png").touch()
    list(score_paths(Brightness(), photos, out=csv))
    list(score_paths(Brightness(), photos / "03.png", out=csv, resume=True))
    kinds = {row.path: row.kind for row in read_results(csv)[1]}
    assert len(kinds) == 21 and kinds[str(photos / "20.png")] is Kind.EMPTY


def test_a_file_that_is_named_twice_is_one_image_with_and_without_out(photos, csv):
    paths = [photos / "03.png", f"{photos}/../photos/03.png"]
    assert [len([*score_paths(Brightness(), paths, out=out)]) for out in (None, csv)] == [1, 1]


# Several


def test_a_metric_that_fails_leaves_the_others_scores(photos, csv):
    Image.new("RGB", (20, 20)).save(photos / "small.png")

    def picky(x):
        if not 0 < x.mean() < 0.5:
            raise RuntimeError("no photo")
        return 0.5

    run = score_paths([MINI, {"picky": picky}, {"own": Weighted(1.0)}], photos, out=csv)
    rows = list(run)
    *_, bright, small = rows
    assert small.scores == (None, None, 0.0) and small.kind is Kind.OTHER  # which is tried again
    assert "small.png" in small.error and "picky: " in small.error
    assert [score is None for score in bright.scores] == [False, True, False]
    assert bright.kind is Kind.OTHER and "picky: RuntimeError: no photo" in bright.error
    assert read_results(csv)[1] == rows


@pytest.mark.parametrize("out", ["s.csv", "s.parquet"])
@pytest.mark.slow
def test_what_could_not_be_built_is_scored_once_it_can_be(photos, tmp_path, clipiqa, out):
    weights = tmp_path / "own.safetensors"
    out = tmp_path / out
    for copy in (lambda: None, lambda: shutil.copy(MINI_FILE, weights)):
        copy()
        clipiqa(f"score {photos} -m entropy own=clipiqa:backbone=mini,clip_weights={weights} --out {out} --resume")
    assert read_scores(out).frame["own"].notna().all()


def test_an_image_that_is_too_small_for_one_metric_is_scored_by_another_that_is_added(tmp_path, csv):
    (tmp_path / "small.png").write_bytes(picture(9, (20, 20)))
    for given in (["mini"], ["mini", "entropy"]):
        (row,) = score_paths(given, tmp_path / "small.png", out=csv, resume=True)
    assert row.scores[0] is None is not row.scores[1] and row.kind is Kind.TOO_SMALL
    assert not list(score_paths(given, tmp_path / "small.png", out=csv, resume=True))


def test_metrics_of_pyiqa_without_a_network_run_on_one_thread(photos, monkeypatch):
    seen = {"forward": lambda *_: torch.tensor(float(torch.get_num_threads()))}
    kinds = torch.nn.Identity, torch.nn.PReLU  # which has a parameter
    threads = {f"threads{count}": type("Threads", (kind,), seen) for count, kind in enumerate(kinds)}
    monkeypatch.setattr(pyiqa.archs.ARCH_REGISTRY, "_obj_map", {**pyiqa.archs.ARCH_REGISTRY._obj_map, **threads})
    given = {name: {"metric_opts": {"type": name}} for name in threads}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    (row,) = score_paths(given, photos / "03.png")
    assert row.scores == (1, 2) and torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.slow
def test_clip_metrics_alone_do_not_import_pyiqa(photos, tmp_path, forked_bare):
    code = f"import sys; from clipiqa_pyiqa import score_paths; rows = [*score_paths([{MINI!r}], {str(photos)!r})]"
    ran = forked_bare.run("", tmp_path, code=f"{code}\nprint(len(rows), 'pyiqa' in sys.modules)")
    assert ran.out == "20 False\n", ran.err


# Processes


@pytest.mark.slow
def test_named_metrics_score_there_and_objects_here_as_ever(photos, monkeypatch):
    (photos / "07.png").write_bytes(b"no image")
    given = ["piqe", {"mine": lambda x: x.mean((1, 2, 3))}, "entropy"]  # a function cannot be sent
    runs = [
        [(row.path, row.scores, row.error) for row in score_paths(given, photos, processes=count)] for count in (0, 2)
    ]
    assert runs[0] == runs[1] and len(runs[0]) == 20
    monkeypatch.setattr(processes, "Processes", lambda *_: lambda record, wanted: None)
    (row,) = score_paths(given, photos / "03.png", processes=1)
    assert row.scores is None and "03.png' killed its process twice" in row.error


def test_what_a_killed_process_did_is_tried_once_more(tmp_path):
    run = Processes(1, partial(partial, eval))
    system = "__import__('os')"
    file = str(tmp_path / "tried")
    first = run(f"{system}.getpid()")
    assert run(f"{system}.path.exists({file!r}) or [open({file!r}, 'w'), {system}._exit(1)]") is True
    assert run(f"{system}._exit(1)") is None
    assert run(f"{system}.getpid()") not in (first, os.getpid())
    assert "processes" in refused(Processes(1, partial(eval, "1 / 0")), 0)
