"""The tables that the README promises: its lines run as they stand, and end well where all numbers agree."""

import shlex
from pathlib import Path

import pandas
import pytest
from photos import BUNDLED
from PIL import Image, ImageFilter

README = Path(__file__).parents[2] / "README.md"
METHODS = {"gt": 0.0, "out/ours": 1.0, "out/bic": 2.0}
LINES = [line for line in README.read_text("utf-8").splitlines() if line.startswith("clipiqa table ")]


@pytest.fixture
def folder(tmp_path):
    """Two images as the README's methods made them, with the folders' names."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB").resize((900, 600))
    for method, radius in METHODS.items():
        (tmp_path / method).mkdir(parents=True)
        for number in range(2):
            left = 180 + 50 * number
            crop = photo.crop((left, 180, left + 232, 292))
            crop.filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / method / f"{number}.png")
    return tmp_path


def write_paper(clipiqa, folder, line):
    """Write ``paper.csv`` with the numbers that a line computes, in two digits."""
    *command, _, _, _ = shlex.split(line)
    clipiqa(shlex.join([*command[1:], "--device", "cpu", "-q", "--out", "first"]))
    computed = pandas.read_csv(folder / "first/table.csv", comment="#").dropna(subset="mean")
    numbers = computed.set_index("metric")["mean"].map("{:.2f}".format)
    names = ",".join(numbers.index)
    cells = ",".join(numbers)
    (folder / "paper.csv").write_text(f"method,{names}\nours,{cells}\n")


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_a_table_needs_a_metric_and_the_readme_names_one(clipiqa, folder):
    (line,) = (line for line in LINES if "--protocol" not in line)
    clipiqa(f"{line.removeprefix('clipiqa ')} --device cpu -q", 0, out="clipiqa ↑")
    said = clipiqa("table --methods ours=out/ours --reference gt", 2, "no metric is named").err
    assert "loading PyTorch" not in said


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.slow
def test_numbers_that_all_agree_need_no_explanation(clipiqa, folder):
    (line,) = (line for line in LINES if line.endswith("--expect paper.csv --explain"))
    write_paper(clipiqa, folder, line)
    found = clipiqa(f"{line.removeprefix('clipiqa ')} --device cpu -q --out out/table", 1)
    assert "metric fid cannot be built" in found.err  # which alone decides the exit code
    assert "no change was tried" in found.out
    assert pandas.read_csv(folder / "out/table/expect.csv")["agrees"].all()
    assert pandas.read_csv(folder / "out/table/explain.csv").empty
