"""The examples under docs/ run as they stand, on small pictures and for a few steps."""

import csv
import re
import shlex
from pathlib import Path

import pytest
import restoration
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path):
    """Six photos: the two bundled ones in three crops each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for source in sorted((ROOT / "tests/data").glob("*.jpg")):
        for left in (0, 24, 48):
            Image.open(source).crop((left, 0, left + 128, 128)).save(folder / f"{source.stem}-{left}.png")
    return folder


def run(photos, out, *more):
    small = shlex.split("--steps 4 --more 3 --check 1 --batch 2 --patch 48 --side 128 --width 8 --blocks 1 --watch 1")
    restoration.main([str(photos), "--out", str(out), "--device", "cpu", *small, *more])


class TestRestoration:
    def test_runs_and_says_what_happened(self, photos, tmp_path, capsys):
        out = tmp_path / "out"
        run(photos, out, "--backbone", "mini", "--held-out", "canyon-wren", "--metrics", "piqe")
        said = capsys.readouterr().out
        assert "3 photos to train on, 1 to watch, judged: canyon-wren-24, canyon-wren-48" in said
        assert re.search(r"CLIP-IQA, pull 0\.3: loss_weight \d", said) and "in all" in said
        rows = {row["picture"]: row for row in csv.DictReader((out / "results.csv").open(encoding="utf-8"))}
        assert {"noisy", "pixel loss alone", "CLIP-IQA, pull 30", "clean", "local CLIP-IQA, pull 3"} <= set(rows)
        assert set(rows["noisy"]) == {"picture", "psnr", "clipiqa", "local", "worst", "piqe"}
        assert float(rows["clean"]["psnr"]) == float("inf") and 15 < float(rows["noisy"]["psnr"]) < 25
        history = list(csv.DictReader((out / "history.csv").open(encoding="utf-8")))
        assert [row["step"] for row in history if row["run"] == "CLIP-IQA, pull 3"] == ["0", "1", "2", "3"]
        before_after = Image.open(out / "canyon-wren-24.png")
        assert before_after.width > 7 * 128  # noisy, five runs, clean
        assert Image.open(out / "canyon-wren-24-map.png").size == before_after.size

    def test_a_metric_that_cannot_be_had_is_left_out(self, photos, seeded_weights, tmp_path, capsys):
        options = shlex.split(f"--clip-weights {seeded_weights('RN50')} --metrics niqe piqe --niqe none.mat --pulls 1")
        run(photos, tmp_path / "out", *options, "--local-pulls")
        assert "niqe is left out: " in capsys.readouterr().out
        assert "piqe" in (tmp_path / "out/results.csv").read_text().splitlines()[0]
