"""Verdicts of ``clipiqa gate``: rounding, several columns, margins, flags, and folders of images."""

import json
import runpy
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import CLIPIQA, gate
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import CLIPIQAError

Make = Callable[..., Any]


@pytest.fixture
def made(tmp_path):
    """Compare two runs of another tool, given by the differences of each column."""

    def make(differences, **options):
        apart = pandas.DataFrame(differences).rename_axis("image")
        base = 0 * apart + np.linspace(0.3, 0.7, len(apart))[:, None]
        base.to_csv(tmp_path / "base.csv")
        (base + apart).to_csv(tmp_path / "new.csv")
        return gate(tmp_path / "base.csv", tmp_path / "new.csv", **options)

    return make


def normal(mean, count=40, seed=0, spread=0.01):
    """Differences whose mean is exact."""
    found = np.random.default_rng(seed).normal(size=count)
    return mean + spread * (found - found.mean()) / found.std(ddof=1)


def test_a_difference_within_rounding_is_no_change_and_the_line_says_so(made):
    (pair,) = made({"q": np.full(40, -4e-7)}).pairs
    assert pair.verdict == "no change" and ", a difference within rounding (5e-07)" in pair.line
    assert made({"q": np.full(40, -8e-7)}).verdict == "worse"


def test_a_closed_range_has_a_larger_rounding(tmp_path):
    files = []
    for number, loss in enumerate((0, 9e-6, 2e-5)):
        scores = {"image": [f"{n}.png" for n in range(20)], "q": np.linspace(0.2, 0.4, 20) - loss}
        frame = pandas.DataFrame(scores | {"scale": '{"q":[0,1,"higher","3f2a9c01"]}', "metric": "clipiqa"})
        files.append(tmp_path / f"{number}.csv")
        frame.to_csv(files[-1], index=False)
    assert [gate(files[0], file).verdict for file in files] == ["pass", "pass", "worse"]


def test_only_a_corrected_p_makes_a_column_worse(made):
    alone = normal(-0.0035)  # p = 0.03
    assert made({"a": alone}).verdict == "worse"
    several = made({"a": alone, **{name: normal(0, seed=n) for n, name in enumerate("bcdef", 1)}})
    assert several.verdict == "pass" and set(several.columns["verdict"]) == {"no change"}
    assert ", p = 0.033 alone, 0.2 among all columns, " in several.pairs[0].line


@pytest.mark.parametrize(("columns", "rows"), [(1, 6), (6, 8)])
def test_rows_that_can_show_no_loss_are_refused(made, columns, rows):
    lost = {f"c{n}": normal(-0.1, rows, n) for n in range(columns)}
    found = made(lost)
    assert found.verdict == "worse" and "fewer than 20 rows" in found.pairs[0].line
    with pytest.raises(CLIPIQAError, match=f"{rows} or more"):
        made({name: apart[1:] for name, apart in lost.items()})


@pytest.mark.parametrize(
    ("mean", "count", "verdict", "because"),
    [
        (0.0, 40, "pass", ""),
        (-0.005, 40, "pass", "beyond chance"),
        (-0.009, 40, "unclear", "not excluded"),
        (-0.02, 40, "worse", ""),
        (0.0, 19, "unclear", "fewer than 20 rows"),
    ],
)
def test_a_column_passes_only_if_a_loss_of_the_margin_is_excluded(made, mean, count, verdict, because):
    for sign, options in ((1, {}), (-1, {"lower_better": ["q"]})):
        found = made({"q": sign * normal(mean, count)}, margin=0.01, **options)
        assert found.verdict == found.pairs[0].verdict == verdict and found.passed == (verdict == "pass")
        assert because in found.pairs[0].line


def test_margins_by_name_and_in_the_command(made, tmp_path, capsys):
    both = {"a": normal(-0.005), "b": normal(-0.005, seed=1)}
    assert list(made(both, margin={"b": 0.01}).columns["verdict"]) == ["worse", "pass"]
    command = ["gate", str(tmp_path / "base.csv"), str(tmp_path / "new.csv"), "--margin"]
    assert main([*command, "0.01"]) == 0 and main([*command, "a=0.01", "b=0.006"]) == 1
    assert "b: unclear: " in capsys.readouterr().out
    assert main([*command, "0.006", "a=0.01"]) == 1 and "b: unclear: " in capsys.readouterr().out
    assert main([*command, "x"]) == 2 and "margin" in capsys.readouterr().err


@pytest.fixture
def simulated(monkeypatch):
    """tests/measure/gate.py"""
    folder = Path(__file__).parents[1] / "measure"
    monkeypatch.syspath_prepend(str(folder))
    return runpy.run_path(str(folder / "gate.py"))


@pytest.mark.parametrize("shape", ["normal", "heavy tails, t(3)"])
def test_six_columns_without_change_are_rarely_worse(shape, simulated):
    assert simulated["false_alarms"](shape, 20, 6, runs=300) < 0.05  # uncorrected: 0.13
    assert simulated["passed"](shape, 20, runs=300) < 0.05


def test_a_loss_that_would_show_four_times_in_five_does(simulated):
    assert 0.7 < simulated["power"]("normal", 200, 1, runs=150) < 0.9  # three deviations of a share of 0.8


@pytest.fixture
def folders(tmp_path):
    """Folders base and new of 20 equal crops, in which new has other files' names."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB")
    for name, other in (("base", "a7"), ("new", "9c")):
        (tmp_path / name).mkdir()
        for n in range(20):
            photo.crop((9 * n, 2 * n, 9 * n + 80, 2 * n + 64)).save(tmp_path / f"{name}/{n}-{other}{n}.png")
    return tmp_path


def command(folders, metric="mini"):
    base, new, out = (str(folders / name) for name in ("base", "new", "gate"))
    return ["gate", base, new, "--metrics", metric, "--device", "cpu", "--out", out]


def test_folders_are_scored_paired_and_resumed(folders, capsys):
    out, given = folders / "gate", command(folders)
    assert main(given) == 0 and "mini: no change: +0.0000" in capsys.readouterr().out
    assert len(pandas.read_parquet(out / "base.parquet")) == len(pandas.read_parquet(out / "new.parquet")) == 20
    assert set(pandas.read_csv(out / "rows.csv")["row"]) == set(range(20))  # the numbers before the hyphens
    assert main(given) == 2 and main([*given, "--resume"]) == 0
    (folders / "new/0-9c0.png").write_bytes(b"")
    assert main([*given, "--overwrite", "--skip-missing"]) == 0
    assert "left out: " in capsys.readouterr().err
    assert main(["gate", str(folders / "base"), str(out / "new.parquet")]) == 2
    assert "name the metrics" in capsys.readouterr().err


def test_a_metric_is_found_under_another_name_and_no_temporary_file_is_written(folders, capsys, monkeypatch):
    base, new = (str(folders / name) for name in ("base", "new"))
    assert main(["score", base, "-b", "mini", "--device", "cpu", "--out", f"{base}.csv"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    given = ["gate", f"{base}.csv", new, "--device", "cpu"]
    for asked in (["-m", "clipiqa", "-b", "mini"], ["-m", "sharp=mini"]):
        assert main([*given, *asked, "--margin", "quality=0.01"]) == 0
        said = capsys.readouterr()
        assert "quality: pass: " in said.out and f"{asked[1].split('=')[0]!r} of " in said.err
    assert main([*given, "-m", "clipiqa:backbone=mini,prompts=sharpness"]) == 2  # another metric


def test_folders_without_images_are_named_before_anything_is_scored(folders, capsys):
    (folders / "empty").mkdir()
    for name, wrong in (("empty", "without image files"), ("missing", "does not exist")):
        assert main(["gate", str(folders / "base"), str(folders / name), "-m", "mini"]) == 2
        assert wrong in (said := capsys.readouterr().err) and name in said
    assert main(["gate", *[str(folders / "base")] * 2, "-m", "mini", "--by", "minn"]) == 2
    assert "'minn'" in capsys.readouterr().err


def test_a_blurred_release_fails_with_files_for_ci(folders, capsys):
    for path in (folders / "new").iterdir():
        Image.open(path).filter(ImageFilter.GaussianBlur(3)).save(path)
    out = folders / "gate"
    assert main(command(folders, metric := "clipiqa:backbone=mini,prompts=sharpness")) == 1
    assert f"{metric}: worse: -0." in (said := capsys.readouterr().out) and "n = 20" in said
    written = json.loads((out / "gate.json").read_text())
    assert written["columns"][0]["verdict"] == "worse" and not written["passed"]
    suite = ElementTree.parse(out / "gate.xml").getroot()
    assert suite.get("failures") == "1" and suite.find("testcase/failure") is not None
    assert len(pandas.read_csv(out / "rows.csv")) == 20
    assert main(["gate", str(out / "base.parquet"), str(out / "new.parquet")]) == 1


def test_newly_flagged_and_cut_images_fail_the_gate(folders):
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (64, 80, 3), np.uint8)).save(folders / "new/3-9c3.png")
    for name in ("base/5-a75", "new/5-9c5", "new/7-9c7"):  # the base image 5 has a band, too
        image = Image.open(folders / f"{name}.png")
        image.paste((128, 128, 128), (0, 44, 80, 64))
        image.save(folders / f"{name}.png")
    metric = CLIPIQA(backbone="mini")
    found = gate(folders / "base", folders / "new", metrics=metric, margin=0.9, device="cpu", out=folders / "gate")
    assert found.flagged == {"3": "noise", "7": "cut"} and list(found.columns["verdict"]) == ["pass"]
    written = json.loads((folders / "gate/gate.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert found.verdict == "worse" and written["flagged"] == found.flagged
    suite = ElementTree.parse(folders / "gate/gate.xml").getroot()
    assert suite.get("tests") == "2" and suite.find("testcase/failure").text == "3: noise\n7: cut"
    again = gate(folders / "gate/base.parquet", folders / "gate/new.parquet", margin=0.9)
    assert again.flagged == {"3": "noise"}  # files of scores know no images


def test_a_folder_of_results_by_shard_is_a_run(folders, capsys):
    results = folders / "results"
    with tarfile.open(folders / "base.tar", "w") as tar:
        tar.add(folders / "base", "")
    scored = ["score", str(folders / "base.tar"), "-b", "mini", "--device", "cpu", "-q", "--out"]
    assert main([*scored, f"{results}/"]) == 0 and main([*scored, str(folders / "base.csv")]) == 0
    (results / "run.json").touch()
    assert main(["gate", str(results), str(folders / "base.csv")]) == 0
    assert "quality: no change: +0.0000" in (said := capsys.readouterr().out) and "n = 20" in said
