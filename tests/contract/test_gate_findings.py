"""What fails ``clipiqa gate`` whatever the scores say: equal images, other sizes, missing and damaged ones, flags."""

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from clipiqa_pyiqa import gate


def last_line(printed):
    return printed.splitlines()[-1]


def collapse(folder, count=20):
    for n in range(1, count):
        shutil.copy(folder / "0.png", folder / f"{n}.png")


@pytest.mark.slow
def test_one_image_under_all_names_fails_in_text_junit_and_on_the_page(clipiqa, folders, command):
    collapse(folders / "new")
    said = clipiqa(f"{command} mini --margin 0.9 --page page", 1, out="mini: pass").out
    assert last_line(said) == "FAILED: 20 of 20 new images have equal pixels"
    assert "  0: equal to 19 other images\n  1: equal to '0'\n" in said and "  and 17 more\n" in said
    suite = ElementTree.parse(folders / "gate/gate.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["equal images"] and suite.get("failures") == "1"
    page = (folders / "page/gate.html").read_text()
    assert (
        "<h1>FAILED: " in page
        and '<th scope="row">equal images</th><td>failed</td>' in page
        and "20 of 20 new images have equal pixels" in page
    )
    rows = json.loads((folders / "gate/gate.json").read_text())["findings"][0]["rows"]
    assert set(rows) == {str(n) for n in range(20)}


@pytest.mark.slow
def test_images_that_are_equal_in_both_runs_are_no_finding(clipiqa, folders, command):
    for name in ("base", "new"):
        collapse(folders / name, 5)
    assert last_line(clipiqa(f"{command} mini", 0).out) == "PASSED"
    shutil.copy(folders / "new/0.png", folders / "new/9.png")  # where the base has another image
    assert "6 of 20 new images have equal pixels" in last_line(clipiqa(f"{command} mini --overwrite", 1).out)


def test_score_files_tell_equal_images_by_their_pixels_or_without_images_by_their_scores(clipiqa, folders):
    collapse(folders / "new")
    for name in ("base", "new"):
        clipiqa(f"score {name} -b mini --device cpu --out {name}.parquet", 0)
    asked = "gate base.parquet new.parquet --margin 0.9"
    assert last_line(clipiqa(asked, 1).out) == "FAILED: 20 of 20 new images have equal pixels"
    shutil.rmtree(folders / "base")
    assert last_line(clipiqa(asked, 1).out) == "FAILED: 20 of 20 new images have equal pixels"
    shutil.rmtree(folders / "new")
    assert "or equal scores where the images cannot be read" in last_line(clipiqa(asked, 1).out)
    assert last_line(clipiqa("gate new.parquet new.parquet --margin 0.9", 0).out) == "PASSED"


def test_equal_scores_of_another_tool_are_no_equal_images(runs):
    assert gate(*runs(stars=(np.arange(40) % 5, np.full(40, 5)))).has_passed


@pytest.mark.parametrize("cell", [np.nan, np.inf])
def test_a_base_score_that_is_missing_or_infinite_hides_no_equal_images(runs, cell):
    base = np.linspace(3, 7, 40)
    base[5] = cell
    of_ours = {"scale": ['{"q":[null,null,"lower","3f2a9c01"]}'] * 2, "metric": ["niqe"] * 2}
    found = gate(*runs(q=(base, np.full(40, 5.0)), **of_ours), allow_missing=1)
    assert [finding.name for finding in found.findings if not finding.is_accepted] == ["equal images"]


@pytest.mark.slow
def test_another_size_or_aspect_fails_unless_it_is_accepted(clipiqa, folders, command):
    for n in range(20):
        size = (120, 80) if n < 3 else (160, 128)
        Image.open(folders / f"new/{n}.png").resize(size).save(folders / f"new/{n}.png")
    said = clipiqa(f"{command} mini --margin 0.9", 1).out
    assert last_line(said) == "FAILED: 20 images of another size, 3 of them of another aspect"
    assert "  0: 80 × 64 to 120 × 80\n" in said
    suite = ElementTree.parse(folders / "gate/gate.xml").getroot()
    assert suite.find("testcase[@name='size']/failure") is not None
    said = clipiqa(f"{command} mini --margin 0.9 --overwrite --allow-resize", 0).out
    assert last_line(said) == "PASSED (accepted: 20 images of another size, 3 of them of another aspect)"
    assert ElementTree.parse(folders / "gate/gate.xml").getroot().get("failures") == "0"


@pytest.mark.slow
def test_a_crashed_generator_does_not_pass(clipiqa, folders, command):
    for n in range(3, 20):
        (folders / f"new/{n}.png").unlink()
    for more in ("--margin 0.9", "--margin 0.9 --unclear warn", ""):
        said = clipiqa(f"{command} mini --overwrite {more}", 1).out
        assert "17 images missing in the new run" in last_line(said)
    said = clipiqa(f"{command} mini --overwrite --margin 0.9 --unclear warn --allow-missing 100%", 1).out
    assert last_line(said).startswith("FAILED: only 3 of the base's 20 images compared (accepted: ")


@pytest.mark.parametrize(
    "allowed, code, end",
    [
        ("0", 1, "FAILED: 2 images missing in the new run"),
        ("1", 1, "FAILED: 2 images missing in the new run"),
        ("9%", 1, "FAILED: 2 images missing in the new run"),
        ("10%", 0, "PASSED (accepted: 2 images missing in the new run)"),
        ("2", 0, "PASSED (accepted: 2 images missing in the new run)"),
    ],
)
@pytest.mark.slow
def test_missing_images_pass_up_to_the_allowed_number(clipiqa, folders, command, allowed, code, end):
    for n in (3, 4):
        (folders / f"new/{n}.png").unlink()
    assert last_line(clipiqa(f"{command} mini --allow-missing {allowed}", code).out) == end
    names = [case.get("name") for case in ElementTree.parse(folders / "gate/gate.xml").getroot()]
    assert names == ["mini", "missing"]


def test_three_of_twenty_missing_images_never_pass(clipiqa, folders, command):
    for n in range(3):
        (folders / f"new/{n}.png").unlink()
    said = clipiqa(f"{command} mini --allow-missing 5", 1).out
    assert "only 17 of the base's 20 images compared" in last_line(said)


def test_damaged_images_are_never_accepted(clipiqa, folders, command):
    (folders / "new/3.png").write_bytes(b"torn")
    said = clipiqa(f"{command} mini --allow-missing 5 --allow-new", 1).out
    assert last_line(said) == "FAILED: 1 image cannot be read"


@pytest.mark.slow
def test_images_of_the_new_run_alone_fail_unless_they_are_accepted(clipiqa, folders, command):
    shutil.copy(folders / "new/3.png", folders / "new/more.png")
    assert last_line(clipiqa(f"{command} mini", 1).out) == "FAILED: 1 image in the new run only"
    said = clipiqa(f"{command} mini --overwrite --allow-new", 0).out
    assert last_line(said) == "PASSED (accepted: 1 image in the new run only)"
    (folders / "new/more.png").write_bytes(b"torn")
    clipiqa(f"{command} mini --overwrite --allow-new", 1, out="FAILED: 1 image cannot be read")


def paste(path, box):
    image = Image.open(path)
    image.paste((128, 128, 128), box)
    image.save(path)


@pytest.mark.slow
def test_a_cut_image_is_explained_and_can_be_accepted_by_its_flag(clipiqa, folders, command):
    paste(folders / "new/7.png", (0, 44, 80, 64))
    Image.new("RGB", (80, 64)).save(folders / "new/3.png")
    asked = f"{command} mini --margin 0.9 --overwrite --page page"
    said = clipiqa(asked, 1, out="cut (more than an eighth of the rows or columns has one colour").out
    assert last_line(said) == "FAILED: 2 images newly flagged (almost black, cut)"
    assert "more than an eighth of the rows" in (folders / "page/gate.html").read_text()
    said = clipiqa(f"{asked} --allow-flag cut", 1).out
    end = "FAILED: 1 image newly flagged (almost black) (accepted: 1 image newly flagged (cut))"
    assert last_line(said) == end
    clipiqa(f"{asked} --allow-flag cut 'almost black'", 0)


@pytest.mark.slow
def test_a_product_on_white_is_not_cut(clipiqa, folders, command):
    for name, edge in (("base", 5), ("new", 20)):
        for n in range(20):
            picture = Image.new("RGB", (128, 128), "white")
            photo = Image.open(folders / f"{name}/{n}.png")
            picture.paste(photo.resize((128 - 2 * edge, 128 - 2 * edge)), (edge, edge))
            picture.save(folders / f"{name}/{n}.png")
    assert last_line(clipiqa(f"{command} mini --margin 0.9", 0).out) == "PASSED"


def test_a_band_is_named_where_the_base_image_is_gone(clipiqa, folders):
    clipiqa("score base -b mini --device cpu --out base.parquet", 0)
    shutil.rmtree(folders / "base")
    paste(folders / "new/7.png", (0, 44, 80, 64))
    clipiqa("gate base.parquet new -m clipiqa -b mini --device cpu --margin 0.9", 0, "1 image with a band", "'7'")
