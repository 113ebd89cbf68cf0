"""The examples under docs/ run as they stand, on small pictures and for a few steps."""

import re
import shlex
from pathlib import Path

import methods_table
import pandas
import pytest
import restoration
import torch
from PIL import Image

from clipiqa_pyiqa import CLIPIQAError

pytestmark = pytest.mark.slow

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


def test_the_restoration_runs_and_says_what_happened(photos, tmp_path, capsys):
    """One of its metrics cannot be had, and is left out."""
    out = tmp_path / "out"
    small = "--steps 3 --more 2 --check 1 --batch 2 --patch 36 --side 112 --width 8 --blocks 1 --watch 1 --device cpu"
    more = "--backbone mini --held-out canyon-wren --metrics niqe piqe --niqe none.mat"
    restoration.main([str(photos), "--out", str(out), *shlex.split(f"{small} {more}")])
    said = capsys.readouterr().out
    assert "judged: canyon-wren-24, canyon-wren-48" in said and "niqe is left out: " in said
    assert re.search(r"CLIP-IQA, pull 0\.3: loss_weight \d", said)
    table = pandas.read_csv(out / "results.csv", index_col="picture")
    assert {"noisy", "pixel loss alone", "CLIP-IQA, pull 30", "clean", "local CLIP-IQA, pull 3"} <= {*table.index}
    assert {"local", "worst", "piqe"} < {*table}
    assert table.psnr["clean"] == float("inf") and table.psnr["noisy"] < 25
    history = pandas.read_csv(out / "history.csv", index_col="run")
    assert [*history.step["CLIP-IQA, pull 3"]] == [0, 1, 2]
    width, _ = Image.open(out / "canyon-wren-24.png").size
    assert width > 7 * 112 and (out / "canyon-wren-24-map.png").exists()  # noisy, five runs, clean


def test_the_tables_of_methods_run(tmp_path, capsys):
    """The script behind the tables of docs/table.md, without its slow network."""
    methods_table.ENLARGERS.pop("Real-ESRGAN", None)
    methods_table.main(["--photos", str(ROOT / "tests/data"), "--out", str(tmp_path), "--width", "128"])
    said = capsys.readouterr().out
    assert "niqe is left out: there is no niqe_modelparameters.mat" in said
    assert "| method | psnr-rgb ↑ | psnr-y ↑ | ssim-y ↑ | clipiqa ↑ |" in said and "| Lanczos |" in said
    assert (tmp_path / "enlarged/table/report.html").is_file()


def test_the_restoration_counts_the_squares_of_the_alarm_before_it_trains():
    photos = restoration.Photos(watched=[torch.zeros(3, 128, 128)] * 2)
    with pytest.raises(CLIPIQAError, match="2 watched photos give 2 squares of 96 px"):
        photos.check_squares(96)
    photos.check_squares(36)
