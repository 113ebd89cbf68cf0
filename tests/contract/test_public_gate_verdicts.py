"""Verdicts of ``clipiqa gate``: rounding, several columns, margins, flags, and folders of images."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from assertions import refused
from photos import save_grey
from PIL import Image, ImageFilter

from clipiqa_pyiqa import CLIPIQA, gate


@pytest.fixture
def made(runs):
    """Compare two runs of another tool, given by the differences of each column."""

    def make(differences, **options):
        base = {name: np.linspace(0.3, 0.7, len(apart)) for name, apart in differences.items()}
        return gate(*runs(**{name: (base[name], base[name] + apart) for name, apart in differences.items()}), **options)

    return make


def normal(mean, count=40, seed=0, spread=0.01):
    """Differences whose mean is exact."""
    found = np.random.default_rng(seed).normal(size=count)
    return mean + spread * (found - found.mean()) / found.std(ddof=1)


def test_a_difference_within_rounding_is_no_change_and_the_line_says_so(made):
    (pair,) = made({"q": np.full(40, -4e-7)}).pairs
    assert pair.verdict == "no change" and ", a difference within rounding (5e-07)" in pair.line
    assert made({"q": np.full(40, -8e-7)}).pairs[0].verdict == "worse"


def test_a_closed_range_has_a_larger_rounding(runs):
    scores = np.linspace(0.2, 0.4, 30)
    about = {"scale": ['{"q":[0,1,"higher","3f2a9c01"]}'] * 2, "metric": ["clipiqa"] * 2}
    verdicts = [gate(*runs(q=(scores, scores - loss), **about)).has_passed for loss in (0, 9e-6, 2e-5)]
    assert verdicts == [True, True, False]


def test_only_a_corrected_p_makes_a_column_worse(made):
    alone = normal(-0.0035)  # p = 0.03
    assert not made({"a": alone}).has_passed
    several = made({"a": alone, **{name: normal(0, seed=n) for n, name in enumerate("bcdef", 1)}})
    assert several.has_passed and set(several.columns["verdict"]) == {"no change"}
    assert ", p = 0.033 alone, 0.2 among all columns, " in several.pairs[0].line


def test_a_column_alone_needs_no_corrected_p(made):
    (pair,) = made({"q": normal(-0.0035)}).pairs
    alone = replace(pair, p_holm=None)
    assert pair.verdict == "worse" and alone.line == pair.line
    assert ", p = 0.2 alone, 0.2 among all columns, " in replace(alone, p=0.2).line


def test_rows_that_can_show_no_loss_are_refused(made):
    for columns, rows in [(1, 6), (6, 8)]:
        lost = {f"c{n}": normal(-0.1, rows, n) for n in range(columns)}
        found = made(lost)
        assert found.verdict == "failed" and "fewer than 20 rows" in found.pairs[0].line
        assert f"{rows} or more" in refused(made, {name: apart[1:] for name, apart in lost.items()})


def test_a_column_passes_only_if_a_loss_of_the_margin_is_excluded(made):
    for mean, count, verdict, because in [
        (0.0, 40, "pass", ""),
        (-0.005, 40, "pass", "beyond chance"),
        (-0.009, 40, "unclear", "the loss may be 0.01 or more"),
        (-0.02, 40, "worse", ""),
        (0.0, 19, "unclear", "fewer than 20 rows"),
    ]:
        for sign, options in ((1, {}), (-1, {"lower_better": ["q"]})):
            found = made({"q": sign * normal(mean, count)}, margin=0.01, **options)
            assert found.pairs[0].verdict == verdict and found.has_passed == (verdict == "pass")
            assert because in found.pairs[0].line


@pytest.mark.slow
def test_an_unclear_column_says_which_margin_so_many_rows_can_decide_and_may_be_a_warning(clipiqa, made):
    made({"q": normal(0.0, 40)})
    asked = "gate base.csv new.csv --margin 0.001"
    said = clipiqa(asked, 1).out
    decided = float(said.split("such rows can decide a margin of ")[1].split(",")[0])
    needed = int(said.split("about ")[1].split(" ")[0].replace(",", ""))
    assert said.splitlines()[-1].startswith("FAILED: q is unclear (40 such rows can decide a margin of ")
    clipiqa(f"gate base.csv new.csv --margin {1.01 * decided}", 0)
    made({"q": normal(0.0, needed)})
    assert clipiqa(asked, 0).out.splitlines()[-1] == "PASSED"
    made({"q": normal(0.0, 40)})
    said = clipiqa(f"{asked} --unclear warn --out out", 0, out="q: unclear: ").out
    assert said.splitlines()[-1].startswith("PASSED (accepted: q is unclear (")
    assert ElementTree.parse("out/gate.xml").getroot().get("failures") == "0"
    made({"q": normal(0.0, 19)})
    assert "(a margin needs 20 rows)" in clipiqa("gate base.csv new.csv --margin 1", 1).out
    made({"q": normal(-0.03, 40)})
    clipiqa(f"{asked} --unclear warn", 1, out="FAILED: q is worse by 0.03")
    made({"q": normal(-0.03, 8)})
    clipiqa(f"{asked} --unclear warn", 1, out="less certain with fewer than 20 rows")
    said = clipiqa(f"{asked} --worst-loss 0.01", 1, out="an image loses 0.0").out.splitlines()[-1]
    assert said.startswith("FAILED: q is worse by 0.03, and by 0.0")


def test_the_last_line_names_all_that_fails_and_nothing_that_passes(clipiqa, made):
    made({"a": normal(-0.03), "b": normal(0.03, seed=1), "c": normal(0.0, seed=2)})
    assert clipiqa("gate base.csv new.csv", 1).out.splitlines()[-1] == "FAILED: a is worse by 0.03"
    assert clipiqa("gate base.csv new.csv --by b c", 0).out.splitlines()[-1] == "PASSED"
    assert clipiqa("gate base.csv new.csv --by b c -q", 0).out == "PASSED\n"
    said = clipiqa("gate base.csv new.csv --by c --worst-loss 0.01", 1).out.splitlines()[-1]
    assert said.startswith("FAILED: c is worse by 0.0") and said.endswith(" for one image")


def test_few_equal_differences_show_nothing_and_the_line_says_why(made):
    for n, verdict in ((8, "no change"), (28, "no change"), (29, "worse")):
        (pair,) = made({"q": np.full(n, -0.02)}).pairs
        assert pair.verdict == verdict and f"the {n} differences are equal, so different ones may be" in pair.line
    few = made({"q": np.full(20, -0.02)}, margin=0.03)
    assert few.pairs[0].verdict == "unclear" and ", as the 20 differences are equal" in few.pairs[0].line
    assert made({"q": np.full(20, -0.002)}, margin=0.03).has_passed
    assert "q" in made({"q": np.full(20, -0.02)}).suggestion().refusals
    assert "may be missing" not in made({"q": np.zeros(8)}).pairs[0].line  # equal runs


def test_margins_by_name_and_in_the_command(clipiqa, made):
    both = {"a": normal(-0.005), "b": normal(-0.005, seed=1)}
    assert list(made(both, margin={"b": 0.01}).columns["verdict"]) == ["worse", "pass"]
    command = "gate base.csv new.csv --margin"
    clipiqa(f"{command} 0.01", 0)
    clipiqa(f"{command} a=0.01 b=0.006", 1, out="b: unclear: ")
    clipiqa(f"{command} 0.006 a=0.01", 1, out="b: unclear: ")
    clipiqa(f"{command} x", 2, "margin")


def test_a_blurred_release_fails_with_files_for_ci(clipiqa, folders, command):
    for path in (folders / "new").iterdir():
        Image.open(path).filter(ImageFilter.GaussianBlur(3)).save(path)
    given = f"{command} clipiqa:backbone=mini,prompts=sharpness"
    assert "n = 20" in clipiqa(given, 1, out="prompts=sharpness: worse: -0.").out
    suite = ElementTree.parse(folders / "gate/gate.xml").getroot()
    assert suite.get("failures") == "1" and suite.find("testcase/failure") is not None


def test_newly_flagged_and_cut_images_fail_the_gate(folders):
    save_grey(folders / "new/3.png", 2, (80, 64))
    for name in ("base/5", "new/5", "new/7"):  # the base image 5 has a band, too
        image = Image.open(folders / f"{name}.png")
        image.paste((128, 128, 128), (0, 44, 80, 64))
        image.save(folders / f"{name}.png")
    metric = CLIPIQA(backbone="mini")
    found = gate(folders / "base", folders / "new", metrics=metric, margin=0.9, device="cpu", out=folders / "gate")
    (finding,) = found.findings
    assert finding.rows == {"3": "almost black", "7": "cut"} and list(found.columns["verdict"]) == ["pass"]
    written = json.loads((folders / "gate/gate.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert not found.has_passed and written["findings"][0]["rows"] == finding.rows
    suite = ElementTree.parse(folders / "gate/gate.xml").getroot()
    assert suite.get("tests") == "2" and suite.find("testcase/failure").text == "3: almost black\n7: cut"
    again = gate(folders / "gate/base.parquet", folders / "gate/new.parquet", margin=0.9)
    assert again.findings[0].rows == {"3": "almost black"}  # bands are looked for in folders only
