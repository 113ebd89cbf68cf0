"""Saved reports name what they were made from: files with their SHA-256, folders, and the command line."""

import hashlib
import json
import shlex

import pytest
from photos import save_grey
from PIL import Image

from clipiqa_pyiqa.workbench.compare.comparison import scores_name
from clipiqa_pyiqa.workbench.opinions.data_sets import parse_data_sets


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


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_comparison_names_its_file_its_folder_and_its_command(clipiqa, rated, tmp_path):
    (tmp_path / "options.yml").write_text("bootstrap: 20\n")
    line = "compare -m entropy -d 'our set=lists/mos.csv:root=photos' -c options.yml --device cpu --out out"
    clipiqa(line, 0)
    source = {"file": str(rated), "sha256": sha256(rated), "root": str(tmp_path / "photos")}
    provenance = json.loads((tmp_path / "out/provenance.json").read_text())
    assert provenance["made_from"] == {
        "command line": shlex.join(["clipiqa", *shlex.split(line)]),
        "options in options.yml": {"sha256": sha256(tmp_path / "options.yml")},
        "data set our set": source,
    }
    texts = ["comparison.csv", "comparison.md", "comparison.tex", "report.html"]
    tables = [*texts, "differences.csv", scores_name("our set")]
    assert provenance["files"] == {name: sha256(tmp_path / "out" / name) for name in tables}
    assert any("negated" in note for note in provenance["notes"]) and provenance["metrics"]["entropy"]
    page = (tmp_path / "out/report.html").read_text()
    for text in (*source.values(), "clipiqa compare -m entropy"):
        assert text in page and text in (tmp_path / "out/comparison.tex").read_text().replace("\\_", "_")
        assert text in (tmp_path / "out/comparison.md").read_text().replace("\\", "")


def test_a_table_names_its_folders_and_files(clipiqa, rated, tmp_path):
    clipiqa("table --methods a=photos b='photos/*.png' --describe -m entropy --device cpu", 2)
    for number in range(6):
        save_grey(tmp_path / f"gt/{number}.png", 40 * number, (64, 48))
    protocol = tmp_path / "own.yml"
    protocol.write_text("title: T\ncertainty: user\nsource: here\nmetrics: {psnr: psnr}\n")
    paper = tmp_path / "paper.csv"
    paper.write_text("method,psnr\na,1\n")
    line = "table --methods a=photos --reference gt --protocol own.yml --expect paper.csv 'a: psnr=2' --device cpu"
    clipiqa(f"{line} --out out", 1)
    provenance = json.loads((tmp_path / "out/provenance.json").read_text())
    assert provenance["made_from"].pop("command line").startswith("clipiqa table --methods a=photos ")
    assert provenance["made_from"] == {
        "method a": {"images": str(tmp_path / "photos")},
        "reference": {"images": str(tmp_path / "gt")},
        "protocol": {"file": str(protocol), "sha256": sha256(protocol)},
        "published numbers 1": {"file": str(paper), "sha256": sha256(paper)},
        "published numbers 2": "a: psnr=2",
    }
    assert {"table.csv", "expect.csv", "images.csv", "report.html"} <= provenance["files"].keys()
    assert "Protocol own: T; as its users reconstructed it (here)." in provenance["notes"]


def test_a_data_set_of_pyiqas_names_its_table(contrasts):
    (data,) = parse_data_sets(contrasts["data_sets"], contrasts["data_root"])
    table = next(contrasts["data_root"].rglob("*.csv"))
    assert data.source["file"] == str(table) and data.source["sha256"] == sha256(table)
    assert data.source["root"] == str(contrasts["data_root"] / "graded/images")
