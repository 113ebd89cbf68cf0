"""The examples under docs/ run as they stand, on small pictures and for a few steps."""

from __future__ import annotations

import csv
import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import CLIPIQALoss

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = ROOT / "docs/examples/restoration.py"
    spec = importlib.util.spec_from_file_location("restoration", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["restoration"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos: the two bundled ones in three crops each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for source in sorted((ROOT / "tests/data").glob("*.jpg")):
        for left in (0, 24, 48):
            Image.open(source).crop((left, 0, left + 128, 128)).save(folder / f"{source.stem}-{left}.png")
    return folder


def run(example: ModuleType, photos: Path, out: Path, *more: str) -> None:
    small = shlex.split("--steps 4 --more 3 --check 1 --batch 2 --patch 48 --side 128 --width 8 --blocks 1 --watch 1")
    example.main([str(photos), "--out", str(out), "--device", "cpu", *small, *more])


class TestRestoration:
    def test_runs_and_says_what_happened(self, example, photos, tmp_path, capsys):
        out = tmp_path / "out"
        run(example, photos, out, "--backbone", "mini", "--held-out", "canyon-wren", "--metrics", "piqe")
        said = capsys.readouterr().out
        assert "3 photos to train on, 1 to watch, judged: canyon-wren-24, canyon-wren-48" in said
        assert re.search(r"CLIP-IQA, pull 0\.3: loss_weight \d", said) and "in all" in said
        rows = {row["picture"]: row for row in csv.DictReader((out / "results.csv").open(encoding="utf-8"))}
        assert {
            "noisy",
            "pixel loss alone",
            "CLIP-IQA, pull 0.3",
            "CLIP-IQA, pull 3",
            "CLIP-IQA, pull 30",
            "clean",
        } <= set(rows)
        assert "local CLIP-IQA, pull 3" in rows
        assert set(rows["noisy"]) == {"picture", "psnr", "clipiqa", "local", "worst", "piqe"}
        assert float(rows["clean"]["psnr"]) == float("inf") and 15 < float(rows["noisy"]["psnr"]) < 25
        history = list(csv.DictReader((out / "history.csv").open(encoding="utf-8")))
        assert [row["step"] for row in history if row["run"] == "CLIP-IQA, pull 3"] == ["0", "1", "2", "3"]
        before_after = Image.open(out / "canyon-wren-24.png")
        assert before_after.width > 7 * 128  # noisy, five runs, clean
        assert Image.open(out / "canyon-wren-24-map.png").size == before_after.size

    def test_repeats_itself(self, example, photos, tmp_path):
        for name in ("one", "two"):
            run(example, photos, tmp_path / name, "--backbone", "mini", "--metrics", "--pulls", "1")
        assert (tmp_path / "one/results.csv").read_text() == (tmp_path / "two/results.csv").read_text()

    def test_a_metric_that_cannot_be_had_is_left_out(self, example, photos, seeded_weights, tmp_path, capsys):
        options = [
            "--clip-weights",
            str(seeded_weights("RN50")),
            "--metrics",
            "niqe",
            "piqe",
            "--niqe",
            str(tmp_path / "none.mat"),
        ]
        run(example, photos, tmp_path / "out", *options, "--pulls", "1", "--local-pulls")
        assert "niqe is left out: " in capsys.readouterr().out
        assert "piqe" in (tmp_path / "out/results.csv").read_text().splitlines()[0]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"clipiqa": 0.0}, "The score did not rise"),
            ({"clipiqa": 0.2}, "nothing that was not optimised got clearly worse"),
            ({"clipiqa": 0.2, "niqe": 1.0, "piqe": -9.0}, "the other metrics disagree"),
            ({"clipiqa": 0.2, "niqe": 2.0}, "WHILE THE PICTURE GOT WORSE"),
            ({"clipiqa": 0.2, "psnr": -1.5, "niqe": -2.0}, "WHILE THE PICTURE GOT WORSE"),
        ],
    )
    def test_verdicts(self, example, change, expected):
        alone = {"psnr": 30.0, "clipiqa": 0.5, "niqe": 5.0, "piqe": 40.0}
        scores = {name: value + change.get(name, 0.0) for name, value in alone.items()}
        said = example.verdict("a run", scores, alone, clean={**alone, "clipiqa": 0.6})
        assert expected in said
        assert ("above the clean photos' own" in said) == (scores["clipiqa"] > 0.6)

    def test_guard(self, example):
        start = {"psnr": 30.0, "clipiqa": 0.5, "niqe": 5.0}
        assert example.worse_than({**start, "clipiqa": 0.1}, start, "niqe", 0.5) == ""  # its own score is not asked
        assert "PSNR fell by 0.60 dB" in example.worse_than({**start, "psnr": 29.4}, start, "niqe", 0.5)
        assert "niqe rose from 5.00 to 5.60" in example.worse_than({**start, "niqe": 5.6}, start, "niqe", 0.5)

    def test_weight_for_a_pull(self, example, seeded_weights):
        criterion = CLIPIQALoss(clip_weights=seeded_weights("RN50"), quick_gelu=True)
        clean = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        net: Any = torch.nn.Identity()
        noisy = (clean + 0.1).clamp(0, 1)
        weight = example.weight_for(0.5, net, noisy, clean, criterion)
        restored = noisy.clone().requires_grad_()
        losses: list[Callable[[], torch.Tensor]] = [
            lambda: weight * criterion(restored),
            lambda: torch.nn.functional.l1_loss(restored, clean),
        ]
        ours, theirs = (torch.autograd.grad(loss(), restored)[0].norm() for loss in losses)
        assert (ours / theirs).item() == pytest.approx(0.5, rel=1e-3)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--held-out", "nobody"], "of which 0 are held out"),
            (["--patch", "500"], "is 500 px wide and high: use a smaller --patch"),
        ],
    )
    def test_mistakes_are_one_sentence(self, example, photos, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            run(example, photos, tmp_path / "out", "--backbone", "mini", "--metrics", "--pulls", "1", *options)
