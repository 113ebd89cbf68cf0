"""Saved reports name what they were made from: files with their SHA-256, folders, and the command line."""

import json
import os

import pandas
import pytest
from PIL import Image

from clipiqa_pyiqa import compare


@pytest.fixture
def rated(tmp_path):
    """Six images in a folder, and a CSV file of opinions elsewhere."""
    (tmp_path / "photos").mkdir()
    for number in range(6):
        image = Image.radial_gradient("L").point(lambda value, n=number: value * (n + 3) // 9)
        image.resize((64, 48)).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists/mos.csv"
    table.write_text("image,mos\n" + "".join(f"{number}.png,{number}\n" for number in range(6)))
    return table


def test_a_command_that_prints_csv_says_the_rest_beside_it(clipiqa, rated, tmp_path):
    printed = clipiqa("compare -m entropy -d lists/mos.csv:root=photos --device cpu --format csv", 0, "negated")
    (tmp_path / "printed.csv").write_text(printed.out)
    assert pandas.read_csv(tmp_path / "printed.csv")["metric"].tolist() == ["entropy"]


def test_names_need_not_be_utf_8(clipiqa, rated, tmp_path):
    folder = os.fsdecode(b"caf\xe9")
    (tmp_path / "photos").rename(tmp_path / folder)
    clipiqa(f"table --methods a={folder} -m entropy --device cpu --out out", 0)
    made_from = json.loads((tmp_path / "out/provenance.json").read_text())["made_from"]
    assert made_from["method a"] == {"images": f"{tmp_path}/caf\\xe9"}
    assert "a=caf\\xe9" in made_from["command line"]


def test_what_python_compares_has_no_command(rated, tmp_path):
    found = compare({"mean": lambda x: x.mean()}, f"{rated}:root={tmp_path}/photos", device="cpu")
    assert [*found.report().origin] == ["data set mos"]
    assert compare({"mean": lambda x: x.mean()}, tmp_path / "photos", device="cpu").report().origin == {
        "data set photos": f"root: {tmp_path}/photos"
    }
