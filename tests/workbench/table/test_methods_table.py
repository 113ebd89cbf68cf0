"""``clipiqa table``: the numbers, what is shared and kept, test sets, what is left out, and how it is written."""

import os
import shutil

import pandas
import pytest
from assertions import refused
from photos import BUNDLED, save_corrupt, save_grey
from PIL import Image, ImageFilter

from clipiqa_pyiqa import table
from clipiqa_pyiqa.workbench.compare.tables import HEADINGS as comparison_headings
from clipiqa_pyiqa.workbench.report.crops import differing_crops
from clipiqa_pyiqa.workbench.table.method_images import match_images
from clipiqa_pyiqa.workbench.table.tables import build_tables

CPU = {"device": "cpu", "workers": 1}


class Mean:
    """The mean of the pixels, times a factor; may fail, and counts its calls (no score depends on ``_calls``)."""

    def __init__(self, factor=1.0, mode="NR", fails=0):
        self.factor, self.metric_mode, self.fails, self._calls = factor, mode, fails, 0
        self.version = f"{factor} {mode}"

    def __call__(self, x, *references):
        self._calls += 1
        if self._calls <= self.fails:
            raise RuntimeError("out of paper")
        return self.factor * (x - references[0] if references else x).abs().mean().view(1, 1)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two test sets of three and two pictures, blurred more or less; ``gt`` are the pictures themselves."""
    root = tmp_path_factory.mktemp("results")
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB")
    for test_set, count in {"Set3": 3, "Set2": 2}.items():
        for method, radius in {"gt": 0.0, "mild": 0.6, "strong": 2.0}.items():
            folder = root / method / test_set
            folder.mkdir(parents=True)
            for number in range(count):
                crop = photo.crop((40 * number, 10 * count, 40 * number + 96, 10 * count + 80))
                crop.filter(ImageFilter.GaussianBlur(radius)).save(folder / f"{number}.png")
    return root


def folders(root, test_set=""):
    return {"strong": root / "strong" / test_set, "mild": root / "mild" / test_set}


def test_a_table_says_which_numbers_are_corrected(results):
    found = table(folders(results, "Set3"), {"mean": Mean()}, **CPU)
    (differences,) = found.report().tables[1:]
    assert differences.title == "Differences from strong [95 %, uncorrected], p (Holm)"
    assert "Holm's rule for 1 difference " in differences.before[0]
    assert "after Holm's correction" in build_tables(found)[0].dagger_note


def test_each_image_is_scored_once_resumed_and_redone_if_it_changed(results, tmp_path):
    methods = {name: shutil.copytree(place, tmp_path / name) for name, place in folders(results, "Set3").items()}
    plain = Mean()
    fidelity = Mean(mode="FR")
    given = {"reference": results / "gt/Set3", "out": tmp_path / "out", **CPU}
    metrics = {"plain": plain, "fidelity": fidelity}
    without = {**given, "reference": None, "resume": True}
    table(methods, {"plain": plain}, **without)
    found = table(methods, metrics, resume=True, **given)
    for each in (without, {**given, "resume": True}):  # no other column loses its scores
        table(methods, {f"more {each['reference']}": Mean(2)}, **each)
    again = table(methods, metrics, resume=True, **given)
    assert plain._calls == fidelity._calls == 6
    pandas.testing.assert_frame_equal(found.scores, again.scores)
    refused(table, methods, metrics, **given)
    Image.new("RGB", (96, 80), "white").save(methods["mild"] / "1.png")
    os.utime(methods["mild"] / "1.png", (0, 0))
    later = table(methods, metrics, resume=True, **given)
    assert plain._calls == fidelity._calls == 7
    assert later.scores.set_index(["image", "method"]).at[("1", "mild"), "plain"] == 1.0


def test_pictures_match_by_name_or_pattern(results, tmp_path, clipiqa):
    for name in ("1x4_ours", "2x4_ours", "gt/1", "gt/2", "gt/3"):
        save_grey(tmp_path / f"{name}.png", 9)
    found = match_images({"ours": f"{tmp_path}/*x4_ours.png"}, tmp_path / "gt")
    assert list(found.files.index) == ["1", "2"] and "'3'" in found.left_out[0]
    few = shutil.copytree(results / "mild", tmp_path / "few")
    shutil.rmtree(few / "Set2")
    methods = {"strong": str(results / "strong"), "few": str(few)}
    found = match_images(methods, skip_missing=True)
    assert set(found.test_sets) == {"Set3"} and "few lacks 'Set2/':" in found.left_out[0]
    (few / "Set3/0.png").unlink()
    assert "no method has 'Set2/', 'Set3/0', " in match_images({"few": str(few)}, results / "gt").left_out[0]
    command = f"table --methods strong={results}/strong few={few} -m mini --device cpu"
    for more, code in (("", 2), (" --skip-missing", 0)):
        clipiqa(command + more, code, "few lacks 'Set2/', 'Set3/0'")


def test_crops_show_the_place_where_pictures_differ(tmp_path):
    picture = Image.open(save_grey(tmp_path / "a.png", 128, (120, 90)))
    picture.crop((0, 0, 120, 40)).save(tmp_path / "small.png")
    picture.paste("white", (80, 60, 100, 80))
    picture.save(tmp_path / "b.png")
    save_corrupt(tmp_path / "corrupt.png")
    found = differing_crops({name: str(tmp_path / f"{name}.png") for name in ("a", "b", "small", "corrupt")}, 30)
    assert found["a"].size == (30, 30) and found["b"].getextrema()[0] == (128, 255) and list(found) == ["a", "b"]


def test_labels_that_no_table_has_are_refused_before_anything_is_scored(clipiqa, results, tmp_path):
    command = (
        f"table --methods strong={results}/strong mild={results}/mild --reference {results}/gt -m psnr-y --out out"
    )
    for look, reason in {
        "--label wild=Ours": "'wild', which no table has",
        "--show psnr": "'psnr', which no table has",
        "--label mild=Ours mild=Theirs": "'mild' twice",
        "--label mild": "NAME=TEXT",
    }.items():
        assert "Loading" not in clipiqa(f"{command} {look}", 2, reason).err
    assert not (tmp_path / "out").exists()
    clipiqa(f"{command} --label strong=Strong psnr-y=PSNR Set2=Two --show psnr-y", 0, out="Differences from Strong")


def test_labels_of_a_comparison_are_checked_before_anything_is_scored(clipiqa, results, tmp_path):
    command = f"compare -m mini -d mine={results}/mild --out out --device cpu"
    clipiqa(f"{command} --label mini=CLIP mien=Ours", 2, "'mien', which no table has", "'mine'?")
    clipiqa(f"{command} --show SROC", 2, "did you mean 'SROCC'")
    assert not (tmp_path / "out").exists()
    clipiqa(f"{command} --label mini=CLIP mine=Ours n=N", 0)


def test_every_heading_can_be_labelled(comparison):
    names = {*comparison_headings, *(data.name for data in comparison.data_sets)}
    names |= {label for data in comparison.data_sets for label in data.metrics}
    for each in comparison.report().tables:
        assert {name for column in each.columns for name in (column.name, column.group) if name} <= names
