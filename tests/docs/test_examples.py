"""The examples under docs/ run as they stand, on small pictures and for a few steps."""

import re
import shlex
from pathlib import Path

import pandas
import pytest
import restoration
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path):
    """Six photos: the two bundled ones in three crops each."""
    (tmp_path / "photos").mkdir()
    for source in sorted((ROOT / "tests/data").glob("*.jpg")):
        for left in (0, 24, 48):
            crop = Image.open(source).crop((left, 0, left + 128, 128))
            crop.save(tmp_path / f"photos/{source.stem}-{left}.png")
    return tmp_path / "photos"


def run(photos, out, *more):
    small = shlex.split("--steps 3 --more 2 --check 1 --batch 2 --patch 48 --side 112 --width 8 --blocks 1 --watch 1")
    restoration.main([str(photos), "--out", str(out), "--device", "cpu", *small, *more])


class TestRestoration:
    def test_runs_and_says_what_happened(self, photos, tmp_path, capsys):
        out = tmp_path / "out"
        run(photos, out, "--backbone", "mini", "--held-out", "canyon-wren", "--metrics", "piqe")
        said = capsys.readouterr().out
        assert "judged: canyon-wren-24, canyon-wren-48" in said
        assert re.search(r"CLIP-IQA, pull 0\.3: loss_weight \d", said) and "in all" in said
        table = pandas.read_csv(out / "results.csv", index_col="picture")
        assert {"noisy", "pixel loss alone", "CLIP-IQA, pull 30", "clean", "local CLIP-IQA, pull 3"} <= {*table.index}
        assert {*table} == {"psnr", "clipiqa", "local", "worst", "piqe"}
        assert table.psnr["clean"] == float("inf") and 15 < table.psnr["noisy"] < 25
        history = pandas.read_csv(out / "history.csv", index_col="run")
        assert [*history.step["CLIP-IQA, pull 3"]] == [0, 1, 2]
        before_after = Image.open(out / "canyon-wren-24.png")
        assert before_after.width > 7 * 112  # noisy, five runs, clean
        assert Image.open(out / "canyon-wren-24-map.png").size == before_after.size

    def test_a_metric_that_cannot_be_had_is_left_out(self, photos, seeded_weights, tmp_path, capsys):
        options = shlex.split(f"--clip-weights {seeded_weights('RN50')} --metrics niqe piqe --niqe none.mat --pulls 1")
        run(photos, tmp_path / "out", *options, "--local-pulls")
        assert "niqe is left out: " in capsys.readouterr().out
        assert "piqe" in (tmp_path / "out/results.csv").read_text().splitlines()[0]
