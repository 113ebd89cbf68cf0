"""A verdict of ``clipiqa gate`` is about all that was asked and all that was there: what is missing is named."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from assertions import refused
from PIL import Image

from clipiqa_pyiqa import gate


def with_cell(values, cell, place=5):
    found = list(values)
    found[place] = cell
    return found


SPREAD = np.linspace(0, 1, 24)

LOST = 9 + SPREAD**2  # beside 3 + SPREAD: each row loses, but not as much


@pytest.mark.parametrize("cell", ["nan", "NaN", "N/A", "-", "null", "None", "1,5"])
def test_one_cell_that_is_no_number_does_not_drop_its_column(clipiqa, runs, cell, caplog):
    runs(niqe=(3 + SPREAD, with_cell(LOST, cell)), piqe=(40 + SPREAD, 40 + SPREAD))
    said = clipiqa("gate base.csv new.csv --allow-missing 1", 1).out
    assert "niqe: worse: +5." in said and "n = 23" in said
    assert "1 score of 'niqe'" in caplog.text and repr(cell) in caplog.text
    assert ("decimal comma" in caplog.text) == (cell == "1,5")


def test_empty_cells_and_truth_values_are_no_text_that_is_named(clipiqa, runs, caplog):
    both = (with_cell(SPREAD, ""), with_cell(SPREAD, ""))
    files = runs(niqe=both, is_day=([True] * 24, [False] * 24))
    assert clipiqa("gate base.csv new.csv --allow-missing 1").code == 0 and "no number" not in caplog.text
    assert [pair.name for pair in gate(*files, allow_missing=1).pairs] == ["niqe"]


def test_a_sentinel_in_both_runs_hides_no_change(clipiqa, runs):
    runs(niqe=(with_cell(3 + SPREAD, 1e7), with_cell(LOST, 1e7)))
    clipiqa("gate base.csv new.csv", 1)


def test_few_rows_that_agree_pass_with_a_margin(runs):
    few = SPREAD[4:12]
    verdicts = [gate(*runs(q=(few, few * factor)), margin=0.1).pairs[0].verdict for factor in (1, 1 + 5e-7, 1 + 5e-5)]
    assert verdicts == ["pass", "pass", "unclear"]


def test_a_score_that_is_missing_in_a_run_is_a_finding_that_can_be_accepted(clipiqa, runs, tmp_path):
    once = with_cell(SPREAD, "")
    runs(niqe=(SPREAD, once), piqe=(once, once))
    command = "gate base.csv new.csv --out out"
    said = clipiqa(command, 1).out
    assert "'niqe' has no score of 1 image in" in said and "'piqe' has no score of 1 image in" in said
    assert said.endswith("\nFAILED: 1 image without a score in one run\n")
    written = json.loads((tmp_path / "out/gate.json").read_text())
    (finding,) = written["findings"]
    assert len(finding["details"]) == 3 and not written["passed"]
    assert finding["rows"] == {"5": "without a score of 'niqe' in one run or both"}
    suite = ElementTree.parse(tmp_path / "out/gate.xml").getroot()
    assert suite.get("failures") == "1" and "'niqe'" in suite.find("testcase/failure").text
    said = clipiqa(f"{command} --overwrite --allow-missing 1", 0, out="n = 23").out
    assert said.endswith("\nPASSED (accepted: 1 image without a score in one run)\n")


def test_files_that_agree_to_the_last_bit_are_named(clipiqa, runs):
    runs(niqe=(SPREAD, SPREAD), piqe=(SPREAD, SPREAD))
    clipiqa("gate base.csv new.csv", 0, "'base.csv' and 'new.csv' may hold the same run", "24 rows are equal in both")
    runs(niqe=(SPREAD, SPREAD), piqe=(SPREAD, with_cell(SPREAD, SPREAD[5] + 1e-12)))
    assert "same run" not in clipiqa("gate base.csv new.csv", 0).err


def test_infinite_scores_are_values(clipiqa, runs):
    equal = with_cell(SPREAD, np.inf)
    runs(psnr=(equal, equal))
    clipiqa("gate base.csv new.csv", 0, "infinite in both runs for 1 row", out="n = 23")
    runs(psnr=(equal, SPREAD))
    clipiqa("gate base.csv new.csv", 1, out="infinite in one run only")
    clipiqa("gate base.csv new.csv --allow-missing 1", 0)


def test_names_that_look_alike_are_told_apart(clipiqa, runs, tmp_path):
    runs(niqe=(SPREAD, SPREAD))
    for name, letter in (("base", "\u00e9"), ("new", "e\u0301")):
        file = tmp_path / f"{name}.csv"
        file.write_text(file.read_text().replace("\n3,", f"\n{letter},"))
    said = clipiqa("gate base.csv new.csv", 1).out
    assert "'é'" in said and said.count(r"'e\u0301'") == 1


def test_a_metric_that_cannot_be_built_is_bad_input_and_no_regression(clipiqa, folders, command):
    said = clipiqa(f"{command} mini niqe=niqe:pretrained_model_path=/nope.mat", 2).err
    assert said.count("there is no file") == 1
    assert not (folders / "gate/gate.json").exists()
    clipiqa(f"{command} mini --resume", 0)


@pytest.mark.slow
def test_a_gate_that_ends_with_an_error_leaves_no_earlier_verdict_that_it_may_replace(clipiqa, folders, command):
    verdict = {"gate.json", "rows.csv", "provenance.json"}
    page = folders / "page/gate.html"

    def names():
        return {path.name for path in (folders / "gate").iterdir()}

    def scores():
        return [(folders / "gate" / name).read_bytes() for name in ("base.parquet", "new.parquet")]

    first = f"{command} mini --page {folders}/page"
    for mistake in ("--by minn", "--margin x", "--marginn 1", f"--device cuda:{10**6}"):
        clipiqa(f"{first} --overwrite", 0)
        earlier_scores = scores()
        assert verdict < names() and page.exists()
        clipiqa(f"{first} {mistake}", 2)  # the user does not allow that anything is replaced
        assert verdict < names() and page.exists()
        assert "error" not in (folders / "gate/gate.xml").read_text().replace('errors="0"', "")
        clipiqa(f"{first} --resume {mistake}", 2)
        assert not verdict & names() and not page.exists()
        assert 'errors="1"' in (folders / "gate/gate.xml").read_text()
        assert scores() == earlier_scores


def test_a_mistyped_gate_never_removes_its_own_input(clipiqa, runs, tmp_path):
    runs(q=(SPREAD, SPREAD))
    clipiqa("gate base.csv new.csv --out gate", 0)
    clipiqa("gate gate/rows.csv new.csv --out gate --overwrite --marginn 1", 2)
    assert (tmp_path / "gate/rows.csv").exists()


def test_a_refused_gate_leaves_no_empty_folder_for_its_page(clipiqa, runs, tmp_path):
    runs(q=(SPREAD, SPREAD))
    clipiqa("gate base.csv new.csv --by missing --page page/of/gate", 2)
    assert not (tmp_path / "page").exists()
    clipiqa("gate base.csv new.csv --page base.csv/page", 2, "base.csv")
    clipiqa("gate base.csv new.csv --page page/of/gate", 0)
    assert (tmp_path / "page/of/gate/gate.html").exists()


def test_a_metric_without_any_score_is_a_failure_that_is_named(clipiqa, folders):
    metrics = ["mini", "niqe=niqe:pretrained_model_path=/nope.mat"]
    options = {"metrics": metrics, "device": "cpu", "out": folders / "gate", "strict": False}
    verdict = gate(folders / "base", folders / "new", **options)
    assert not verdict.has_passed
    assert any("'niqe' has no score of 20 images" in line for check in verdict.checks() for line in check.lines)
    verdict = gate(folders / "base", folders / "new", **options, resume=True, allow_missing=1)
    assert not verdict.has_passed  # no row is left to judge
    assert [column["name"] for column in json.loads((folders / "gate/gate.json").read_text())["columns"]] == ["mini"]
    clipiqa(f"rank {folders}/gate/base.parquet --by niqe", 2, "no photo has a score of 'niqe'")


@pytest.mark.slow
def test_an_image_that_cannot_be_read_in_both_runs_is_named(clipiqa, folders, command):
    for name in ("base", "new"):
        (folders / name / "3.png").write_bytes(b"no image")
    (folders / "new/4.png").write_bytes(b"")
    given = f"{command} mini"
    said = clipiqa(given, 1, out="'3', '4'").out
    assert "n = 18" in said and "3.png' is not an image" in said and "4.png' is empty" in said
    again = clipiqa(f"{given} --overwrite --allow-missing 50%", 1).out
    assert again.endswith("\nFAILED: 2 images cannot be read\n")


def test_a_flagged_image_without_a_score_fails_with_files(clipiqa, folders, command):
    Image.new("RGB", (64, 64)).save(folders / "new/3.png")
    assert "'3 (" in clipiqa(f"{command} piqe", 1, out="'piqe' has no score of 1 image").out
    assert (folders / "gate/gate.json").exists()


@pytest.mark.slow
def test_a_resumed_verdict_is_about_the_images_that_are_there(clipiqa, folders, command):
    given = f"{command} mini"
    clipiqa(given, 0, out="n = 20")
    for n in range(1, 20):
        (folders / f"new/{n}.png").unlink()
    said = clipiqa(f"{given} --resume --format markdown", 1, out="19 images missing in the new run").out
    assert said.startswith("## FAILED") and "finite scores of 1 row in both runs" in said
    for n in range(10, 20):
        (folders / f"base/{n}.png").unlink()
    for n in range(1, 10):
        (folders / f"new/{n}.png").write_bytes((folders / f"base/{n}.png").read_bytes())
    clipiqa(f"{given} --resume", 0, out="n = 10")


@pytest.mark.slow
def test_images_of_another_size_and_unreadable_ones_are_counted(clipiqa, folders, command):
    base, new = (str(folders / name) for name in ("base", "new"))
    for n in range(3):
        Image.open(f"{base}/{n}.png").resize((32, 32)).save(f"{new}/{n}.png")
    Image.open(f"{base}/3.png").save(f"{new}/more.tga")  # which is not read
    ran = clipiqa(f"{command} mini")
    assert "3 images of another size" in ran.out and "1 skipped: 1 .tga" in ran.err
    assert "1 skipped: 1 .tga" in clipiqa(f"table --methods a={base} b={new} --metrics mini --device cpu").err


def test_a_file_of_ours_whose_scale_is_damaged_is_refused_though_the_other_run_has_a_direction(runs):
    scales = ["q:+:0..1:3f2a9c", "q:?:0..1:3f2a9c"]
    base, new = runs(q=(SPREAD, SPREAD), scale=scales, metric=["clipiqa"] * 2)
    assert f"{new!r} does not say whether a low or a high 'q' is good" in refused(gate, base, new)
    assert gate(base, new, higher_better=["q"]).has_passed
