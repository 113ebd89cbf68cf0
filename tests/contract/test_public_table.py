"""``clipiqa table``: the numbers, what is shared and kept, test sets, what is left out, and how it is written."""

import math
import os
import shutil

import numpy as np
import pandas
import pytest
from assertions import refused
from photos import BUNDLED, save_grey
from PIL import Image, ImageFilter

from clipiqa_pyiqa import table

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


class SetSize:
    """A metric of whole sets: how many images there are, and how many references."""

    of_sets = True
    lower_better = True

    def __call__(self, folder, references):
        return len(os.listdir(folder)) + len(os.listdir(references)) / 100


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


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float)[3:-3, 3:-3]


def test_numbers_means_ranks_and_differences(results):
    found = table(folders(results), ["psnr-rgb", "psnr-y"], reference=results / "gt", crop_border=3, **CPU)
    weights = {"psnr-rgb": np.eye(3), "psnr-y": np.array([[65.481], [128.553], [24.966]]) / 255}
    for row in found.scores.to_dict("records"):
        ours, theirs = (pixels(results / who / f"{row['image']}.png") for who in (row["method"], "gt"))
        for label, weight in weights.items():
            expected = 10 * math.log10(255**2 / np.mean(((ours - theirs) @ weight) ** 2))
            assert row[label] == pytest.approx(expected, abs=2e-3)  # pyiqa adds 1e-8 to the mean squared error
    of = found.scores[found.scores["test_set"] == "Set3"].groupby("method")["psnr-y"]
    cells = found.cells.loc[("Set3", "psnr-y")]
    np.testing.assert_allclose(cells[["n", "mean", "sd"]], of.agg(["count", "mean", "std"]).loc[cells.index])
    assert cells["rank"].to_dict() == {"strong": 2, "mild": 1}
    assert cells.at["mild", "difference"] == pytest.approx(cells.at["mild", "mean"] - cells.at["strong", "mean"])
    assert math.isnan(cells.at["strong", "difference"])  # the baseline
    # three pictures that all point the same way are no proof: 2 / 2^3 at best, before Holm
    assert not found.cells["significant"].any() and cells.at["mild", "p"] == 0.25


def test_gains_and_losses_look_different_and_the_lowest_p_is_marked(tmp_path):
    for number in range(10):
        for method, level in {"a": 100, "b": 105 + number}.items():
            save_grey(tmp_path / method / f"{number}.png", level + number)
    methods = {"a": tmp_path / "a", "b": tmp_path / "b"}
    found = table(methods, {"mean": Mean(255), "dark": Mean(-255)}, **CPU)
    cells = found.cells.xs("b", level="method")
    assert cells["significant"].all() and cells["rank"].tolist() == [1, 2]
    assert "Mean ± standard deviation over 10 images;" in found.table("latex", caption="Ours")
    assert "Marks: * = improvement beyond chance, ▼ = decline beyond chance." in found.table()
    row = cells.loc[("", "mean")]
    assert row["difference"] == pytest.approx(9.5, abs=1e-4) and 7 < row["low"] < 9.5 < row["high"] < 12
    said = found.table("markdown")
    latex = found.table("latex")
    assert "**+9.50** \\[" in said and "| -9.50 ▼ \\[" in said and "p ≤ 0.004 |" in said  # 2 × 2 / 2^10
    assert r"\textbf{+9.50}" in latex and r"\textcolor{orange!70!black}{$-$9.50" in latex


def test_ranks_are_true_and_the_csv_file_needs_no_options(results, tmp_path):
    methods = {f"{name} {number}": place for number in "12" for name, place in folders(results, "Set3").items()}
    copies = {name: shutil.copytree(place, tmp_path / name) for name, place in methods.items()}
    copies["gt"] = results / "gt/Set3"
    found = table(copies, {"flat": lambda x: x.mean() * 0, "detail": lambda x: x.std()}, **CPU)
    found.save(tmp_path / "out")
    saved = pandas.read_csv(tmp_path / "out/table.csv").set_index(["metric", "method"])
    assert saved["rank"]["flat"].eq(1).all() and saved["direction"].eq("higher").all()
    ranks = saved["rank"]["detail"].to_dict()
    assert ranks == {"gt": 1, "mild 1": 2, "mild 2": 2, "strong 1": 4, "strong 2": 4}
    marks = {row[0].text: (row[1].mark, row[2].mark) for row in found.report().tables[0].rows}
    assert marks["gt"] == ("", "best") and marks["mild 1"] == marks["mild 2"] == ("", "second")
    assert marks["strong 1"] == ("", "")


def test_images_without_a_score_leave_every_method_and_are_named(results, tmp_path):
    shutil.copytree(results / "mild/Set3", tmp_path / "mild")
    (tmp_path / "mild/1.png").write_bytes(b"no picture")
    metrics = {"fails": Mean(fails=99), "picky": Mean(fails=1), "plain": Mean()}
    found = table({"strong": results / "strong/Set3", "mild": tmp_path / "mild"}, metrics, **CPU)
    counts = found.cells["n"].xs("", level="test_set").unstack()
    assert counts.loc["picky"].tolist() == [1, 1] and counts.at["plain", "strong"] == 2
    said = found.table("latex")
    notes = [line for line in said.splitlines() if not line.startswith("%")]
    assert any("fewer images: picky (n = 1)." in line for line in notes) and r"\caption{2 methods on 2 images.}" in said
    assert "out of paper" in found.metrics["fails"].error and "1 of 5 images" in found.metrics["picky"].note
    assert "1.png" in found.notes[-1] and not found.is_complete
    (shutil.copytree(results / "gt/Set3", tmp_path / "gt") / "2.png").write_bytes(b"")
    found = table({"strong": results / "strong/Set3"}, {"fidelity": Mean(mode="FR")}, reference=tmp_path / "gt", **CPU)
    said = found.table()
    assert "empty (0 bytes)." in said and "bytes).." not in said


def test_whole_sets_have_one_value_and_no_deviation(results, tmp_path):
    given = {"metrics": {"size": SetSize(), "n": Mean()}, "reference": results / "gt", "out": tmp_path, **CPU}
    found = table(folders(results), **given)
    cells = found.frame()[found.frame()["metric"] == "size"]
    assert list(cells["mean"]) == [2.02, 2.02, 3.03, 3.03] and cells["sd"].isna().all()
    assert "| 3.0300 |" in found.table("markdown")
    few = table({"mild": results / "mild"}, resume=True, **given)
    assert few.is_complete and len(pandas.read_csv(tmp_path / "sets.csv")) == 4  # of the other method too


def test_names_need_not_be_utf_8(results, tmp_path):
    places = [shutil.copytree(results / "gt/Set3", tmp_path / name) for name in ("a", "b")]
    for place in places:
        os.rename(place / "0.png", os.fsencode(place) + b"/caf\xe9.png")
    found = table({"our\udce9": places[0]}, "psnr", reference=places[1], out=tmp_path / "out", **CPU)
    found.save(tmp_path / "out")
    assert [*found.scores["image"]] == ["1", "2", r"caf\xe9"] and found.methods == (r"our\xe9",) and found.is_complete


def test_methods_and_options_that_cannot_be_used_are_refused(results, monkeypatch):
    for methods, options, noun in [
        (["a=mild", "a=strong"], {}, "two methods"),
        (["a=mild/Set3", "b=gt"], {}, "all folders"),
        (["a=mild", "b=mild"], {}, "once"),
        (["a=mild"], {"metrics": "psnr-y"}, "reference"),
        (["a=mild"], {"baseline": "c"}, "baseline"),
        (["a=mild"], {"values": {"speed": 1.0}}, "'speed'"),
    ]:
        monkeypatch.chdir(results)
        assert noun in refused(table, methods, **{"metrics": {"n": Mean()}, **options}, **CPU)


def test_the_command_writes_what_it_prints(clipiqa, results, tmp_path):
    command = f"table --methods strong={results}/strong mild={results}/mild --reference {results}/gt --quiet"
    labels = "--label mild=Ours 'psnr-y=PSNR (dB)'"
    command += f" -m psnr-y mini=clipiqa:backbone=mini --device cpu --out out --format markdown {labels}"
    said = clipiqa(command, 0).out
    assert said == (tmp_path / "out/table.md").read_text() and "one prompt pair" in said
    assert "| method | Set2 PSNR (dB) ↑ | Set2 mini ↑ | Set3 PSNR (dB) ↑ | Set3 mini ↑ |" in said
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<img ") == 5 * (1 + 3)  # whole and three crops of each picture
    assert "<b>Ours</b>" in page and "<dt>PSNR (dB)</dt>" in page and "<b>mild</b>" not in page
    assert r"\multicolumn{2}{c}{Set3}" in (tmp_path / "out/table.tex").read_text()
    clipiqa("table", 2, "--methods")
