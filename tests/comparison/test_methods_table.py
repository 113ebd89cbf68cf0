"""``clipiqa table``: the numbers, what is shared and kept, test sets, what is left out, and how it is written."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from PIL import Image, ImageFilter

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.table.matching import match_pictures, parse_methods
from clipiqa_pyiqa.comparison.table.page import report_page as to_page
from clipiqa_pyiqa.comparison.table.protocols import read_protocol
from clipiqa_pyiqa.comparison.table.results import MethodTable
from clipiqa_pyiqa.comparison.table.run import table
from clipiqa_pyiqa.comparison.table.table_metrics import parse_table_metrics
from clipiqa_pyiqa.datasets.specification import CompareError
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.report.crops import differing_crops, most_different

BUNDLED = Path(__file__).parents[1] / "data"
SIZE = (96, 80)
CPU: Any = {"device": "cpu", "workers": 1}


class Mean:
    """The mean of the pixels, times a factor; remembers what it was called with."""

    def __init__(self, factor: float = 1.0, mode: str = "NR") -> None:
        self.factor, self.metric_mode, self.calls = factor, mode, 0

    def __call__(self, x: torch.Tensor, *references: torch.Tensor) -> torch.Tensor:
        assert len(references) == (self.metric_mode == "FR")
        self.calls += 1
        return self.factor * (x - references[0] if references else x).abs().mean().view(1, 1)


class SetSize:
    """A metric of whole sets: how many images there are, and how many references."""

    of_sets = True
    lower_better = True

    def __call__(self, folder: str, references: str | None = None) -> float:
        theirs = len(os.listdir(references)) if references else 0
        return len(os.listdir(folder)) + theirs / 100


def crops(photo: str, count: int) -> list[Image.Image]:
    image = Image.open(BUNDLED / f"{photo}.jpg").convert("RGB")
    return [image.crop((40 * n, 10, 40 * n + SIZE[0], 10 + SIZE[1])) for n in range(count)]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test sets of three and two pictures, blurred more or less; ``gt`` are the pictures themselves."""
    root = tmp_path_factory.mktemp("results")
    for test_set, pictures in {"Set3": crops("canyon-wren", 3), "Set2": crops("blue-periwinkle", 2)}.items():
        for method, radius in {"gt": 0.0, "mild": 0.6, "strong": 2.0}.items():
            folder = root / method / test_set
            folder.mkdir(parents=True)
            for number, picture in enumerate(pictures):
                picture.filter(ImageFilter.GaussianBlur(radius)).save(folder / f"{number}.png")
    return root


def folders(root: Path) -> dict[str, Path]:
    return {"strong": root / "strong", "mild": root / "mild"}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(pixels(path).transpose(2, 0, 1)[None].astype(np.float32) / 255)


@pytest.fixture(scope="module")
def found(results: Path) -> MethodTable:
    metrics = ["psnr-rgb", "psnr-y", "ssim-y", "ssim-rgb", "ssim", "piqe", "mini=clipiqa:backbone=mini"]
    return table(folders(results), metrics, reference=results / "gt", crop_border=3, **CPU)


class TestNumbers:
    def test_psnr_is_scikit_images(self, found: MethodTable, results: Path) -> None:
        peak_signal_noise_ratio = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
        for row in found.scores.to_dict("records"):
            ours, theirs = (pixels(results / who / f"{row['image']}.png")[3:-3, 3:-3] for who in (row["method"], "gt"))
            # pyiqa adds 1e-8 to the mean squared error, which is 1e-4 dB at 36 dB
            assert row["psnr-rgb"] == pytest.approx(peak_signal_noise_ratio(theirs, ours, data_range=255), abs=2e-3)
            y = [
                65.481 * p[..., 0] / 255 + 128.553 * p[..., 1] / 255 + 24.966 * p[..., 2] / 255 for p in (ours, theirs)
            ]
            assert row["psnr-y"] == pytest.approx(peak_signal_noise_ratio(y[1], y[0], data_range=255), abs=2e-3)

    @pytest.mark.parametrize(
        ("label", "name", "options"),
        [
            ("ssim-y", "ssim", {"color_space": "ycbcr", "crop_border": 3}),
            ("ssim-rgb", "ssimc", {"crop_border": 3}),
            ("ssim", "ssim", {"crop_border": 3}),
            ("piqe", "piqe", {}),
        ],
    )
    def test_the_rest_is_pyiqas(
        self, found: MethodTable, results: Path, label: str, name: str, options: dict[str, Any]
    ) -> None:
        metric = pyiqa.create_metric(name, device="cpu", **options)
        for row in found.scores.to_dict("records"):
            images = [tensor(results / who / f"{row['image']}.png") for who in (row["method"], "gt")]
            expected = metric(*images[: 2 if metric.metric_mode == "FR" else 1]).item()
            assert row[label] == pytest.approx(expected, abs=1e-6)

    def test_niqe_and_brisque_are_pyiqas(self, shared: Path) -> None:
        files = {"niqe": "niqe_modelparameters.mat", "brisque": "brisque_svm_weights.pth"}
        options = {n: {"pretrained_model_path": str(shared / "data/weights" / f)} for n, f in files.items()}
        metrics = [f"{name}={name}:pretrained_model_path={o['pretrained_model_path']}" for name, o in options.items()]
        dist = shared / "data/calibration/dist"
        rows = table({"dist": dist}, metrics, **CPU).scores.to_dict("records")
        for name in files:
            metric = pyiqa.create_metric(name, device="cpu", **options[name])
            assert [row[name] for row in rows] == [metric(tensor(Path(row["path"]))).item() for row in rows]

    def test_clipiqa_is_ours(self, found: MethodTable, results: Path) -> None:
        metric = CLIPIQA(backbone="mini").eval()
        for row in found.scores.to_dict("records"):
            expected = metric(tensor(results / row["method"] / f"{row['image']}.png")).item()
            assert row["mini"] == pytest.approx(expected, abs=1e-5)  # fp32, in another memory layout

    def test_means_ranks_and_differences(self, found: MethodTable) -> None:
        frame = found.frame()
        for row in frame.to_dict("records"):
            of = found.scores[(found.scores["test_set"] == row["test_set"]) & (found.scores["method"] == row["method"])]
            assert row["mean"] == pytest.approx(of[row["metric"]].mean()) and row["n"] == len(of)
            assert row["sd"] == pytest.approx(of[row["metric"]].std())
        psnr = frame[frame["metric"] == "psnr-y"].set_index(["test_set", "method"])
        assert list(psnr["rank"]) == [2, 1, 2, 1]  # strong, mild
        for test_set in ("Set3", "Set2"):
            apart = psnr.loc[(test_set, "mild"), "mean"] - psnr.loc[(test_set, "strong"), "mean"]
            assert psnr.loc[(test_set, "mild"), "difference"] == pytest.approx(apart)
            assert math.isnan(psnr.loc[(test_set, "strong"), "difference"])  # the baseline
        # three pictures that all point the same way are no proof: 2 / 2^3 at best, before Holm
        assert not frame["significant"].any() and psnr.loc[("Set3", "mild"), "p"] == 0.25

    def test_says_channel_border_and_which_clipiqa(self, found: MethodTable) -> None:
        for format in ("table", "markdown", "csv"):
            said = found.table(format)
            assert "psnr-y and ssim-y are computed on Y of YCbCr as MATLAB" in said
            assert "ssim is computed on Y of YIQ" in said and "a border of 3 px left out" in said
            assert "mini is clipiqa, mini, bundled" in said
        assert "a border of 3 px" in found.table("latex") and "mini is" in found.table("latex")


def test_gains_and_losses_look_different_and_a_floor_is_a_bound(tmp_path: Path) -> None:
    for number in range(10):
        for method, level in {"a": 100, "b": 101 + number % 2}.items():
            (tmp_path / method).mkdir(exist_ok=True)
            Image.new("RGB", (32, 32), (level + number,) * 3).save(tmp_path / method / f"{number}.png")
    methods = {"a": tmp_path / "a", "b": tmp_path / "b"}
    dark = Mean(-255)
    found = table(methods, {"mean": Mean(255), "dark": dark}, **CPU)
    (row, lost) = found.frame()[found.frame()["method"] == "b"].to_dict("records")
    assert row["difference"] == pytest.approx(1.5, abs=1e-4) and 1 < row["low"] < 1.5 < row["high"] < 2
    assert row["significant"] and row["rank"] == 1 and not found.test_sets[0] and lost["significant"]
    said, latex, page = found.table("markdown"), found.table("latex"), to_page(found)
    assert "**106.00**" in said and "<ins>104.50</ins>" in said and r"\underline{104.50}" in latex
    assert "**+1.50** \\[" in said and "| -1.50 ▼ \\[" in said and "\\] p ≤ 0.004 |" in said  # 2 × 2 / 2^10
    assert r"\textbf{+1.50}" in latex and r"\textcolor{orange!70!black}{$-$1.50" in latex
    assert ">−1.50 ▼</span>" in page and ">+1.50</b>" in page


class TestShared:
    def test_each_image_and_encoder_once_resumed_and_redone_where_a_file_changed(
        self, results: Path, tmp_path: Path
    ) -> None:
        methods = {name: tmp_path / name for name in ("a", "b")}
        for name, source in zip(methods, ("strong", "mild"), strict=True):
            methods[name].mkdir()
            for number in range(3):
                Image.open(results / source / f"Set3/{number}.png").save(methods[name] / f"{number}.png")
        reference, out = results / "gt/Set3", tmp_path / "out"
        plain, fidelity = Mean(), Mean(mode="FR")
        metrics = {"plain": plain, "fidelity": fidelity}
        found = table(methods, metrics, reference=reference, out=out, **CPU)
        assert plain.calls == fidelity.calls == 6
        found.save(out)
        again = table(methods, metrics, reference=reference, out=out, resume=True, **CPU)
        assert plain.calls == fidelity.calls == 6
        pandas.testing.assert_frame_equal(found.scores, again.scores)
        with pytest.raises(CompareError, match=r"holds the scores of an earlier run"):
            table(methods, metrics, reference=reference, out=out, **CPU)
        changed = methods["a"] / "1.png"
        Image.new("RGB", SIZE, "white").save(changed)
        os.utime(changed, (time.time(), time.time() + 5))
        later = table(methods, metrics, reference=reference, out=out, resume=True, **CPU)
        assert plain.calls == fidelity.calls == 7
        row = later.scores[(later.scores["image"] == "1") & (later.scores["method"] == "a")].iloc[0]
        assert row["plain"] == 1.0 and row["path"] == str(changed)
        assert {"table.md", "table.tex", "table.csv", "images.csv", "report.html"} <= {p.name for p in out.iterdir()}

    def test_a_metric_that_fails_is_told_and_a_picture_it_fails_on_leaves_every_method(self, results: Path) -> None:
        def fails(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of paper")

        def picky(x: torch.Tensor) -> torch.Tensor:
            picky.calls += 1  # type: ignore[attr-defined]
            if picky.calls == 1:  # type: ignore[attr-defined]
                raise RuntimeError("not this one")
            return x.mean().view(1, 1)

        picky.calls = 0  # type: ignore[attr-defined]
        methods = {name: place / "Set3" for name, place in folders(results).items()}
        found = table(methods, {"fails": fails, "picky": picky, "plain": Mean()}, **CPU)
        said = found.table()
        assert "fails: no score for 6 of 6 images" in said and "out of paper" in said
        assert "no score for 1 of 6 images, such as 0.png: RuntimeError: not this one" in said
        counts = found.frame().set_index(["metric", "method"])["n"]
        assert counts["picky", "mild"] == counts["picky", "strong"] == 2 and counts["plain", "mild"] == 3
        assert not found.complete

    def test_sizes_that_differ_from_the_references(self, results: Path, tmp_path: Path) -> None:
        (tmp_path / "half").mkdir()
        for number in range(3):
            Image.open(results / f"mild/Set3/{number}.png").resize((48, 40)).save(tmp_path / f"half/{number}.png")
        found = table(
            {"half": tmp_path / "half", "mild": results / "mild/Set3"}, {"f": Mean(mode="FR"), "n": Mean()},
            reference=results / "gt/Set3", **CPU,
        )  # fmt: skip
        assert "it is 48×40 px, but its reference 96×80 px" in found.table()
        assert found.scores["n"].notna().all() and found.scores["f"].notna().sum() == 3

    def test_a_broken_image_is_named_and_leaves_every_method(self, results: Path, tmp_path: Path) -> None:
        shutil.copytree(results / "mild/Set3", tmp_path / "mild")
        (tmp_path / "mild/1.png").write_bytes(b"no picture")
        found = table({"strong": results / "strong/Set3", "mild": tmp_path / "mild"}, {"n": Mean()}, **CPU)
        assert list(found.cells["n"]) == [2, 2] and not found.complete
        assert found.notes[-1].startswith("Left out of all methods: '") and "is not an image" in found.notes[-1]
        assert not found.columns["n"].metric.note

    def test_whole_sets_have_one_value_and_no_deviation(self, results: Path) -> None:
        found = table(folders(results), {"size": SetSize(), "n": Mean()}, reference=results / "gt", **CPU)
        cells = found.frame()[found.frame()["metric"] == "size"]
        assert list(cells["mean"]) == [2.02, 2.02, 3.03, 3.03] and cells["sd"].isna().all()
        assert "| 3.0300 |" in found.table("markdown")


class TestProtocol:
    def test_score_of_the_means(self, results: Path) -> None:
        ntire = read_protocol("ntire")
        metrics: dict[str, Any] = {}
        for label in ntire.metrics:
            metrics[label] = Mean(mode="FR" if label in ("lpips", "dists", "psnr") else "NR")
        found = table(folders(results), metrics, protocol="ntire", reference=results / "gt", **CPU)
        for test_set in ("Set3", "Set2"):
            m = {label: found.mean(test_set, label, "mild") for label in metrics}
            score = found.cells.loc[(test_set, "ntire score", "mild")]
            expected = (1 - m["lpips"]) + (1 - m["dists"]) + m["clipiqa"] + m["maniqa"] + m["musiq"] / 100
            assert score["mean"] == pytest.approx(expected + max(0.0, (10 - m["niqe"]) / 10))
            assert math.isnan(score["sd"])
        said = found.table()
        assert "ntire score = (1 - lpips)" in said and "NTIRE2025_ImageSR_x4 4c857eb" in said
        assert "not follow protocol ntire: lpips, dists" in said and "ssim: not computed here: the source" in said

    def test_channels(self) -> None:
        for label, words in {"psnr-y": "MATLAB", "psnry": "YIQ", "psnr": "on RGB", "ssim": "YIQ", "niqe": ""}.items():
            ((asked,), _) = parse_table_metrics(label)
            assert words in asked.computed_on and bool(words) == bool(asked.computed_on)

    def test_labels_are_short_and_case_does_not_count(self) -> None:
        asked, _ = parse_table_metrics(["NIQE", "CLIPIQA:backbone=mini", "psnr-Y", "musiq", "MUSIQ:num_class=1"])
        labels = [each.spec.label for each in asked]
        assert labels == ["niqe", "clipiqa", "psnr-y", "musiq", "musiq:num_class=1"]


class TestMatching:
    def test_patterns_and_names(self, tmp_path: Path) -> None:
        for method in ("ours", "bic"):
            for number in (1, 2):
                Image.new("RGB", (32, 32)).save(tmp_path / f"{number}x4_{method}.png")
            (tmp_path / "gt").mkdir(exist_ok=True)
        for number in (1, 2, 3):
            Image.new("RGB", (32, 32)).save(tmp_path / f"gt/{number}.png")
        methods = parse_methods([f"ours={tmp_path}/*x4_ours.png", f"bic={tmp_path}/*x4_bic.png"])
        found = match_pictures(methods, tmp_path / "gt")
        assert found.names == ["1", "2"] and "no method has '3', which the reference has" in found.left_out

    def test_missing_files_are_named(self, results: Path, tmp_path: Path) -> None:
        (tmp_path / "few/Set3").mkdir(parents=True)
        for number in (0, 1):
            Image.open(results / f"mild/Set3/{number}.png").save(tmp_path / f"few/Set3/{number}.png")
        methods = {"strong": str(results / "strong"), "few": str(tmp_path / "few")}
        with pytest.raises(CompareError, match=r"3 of 5 pictures are not in all folders \(few lacks 'Set2/0', "):
            match_pictures(methods)
        found = match_pictures(methods, skip_missing=True)
        assert found.test_sets == {"Set3": ("Set3/0", "Set3/1")} and "few lacks" in found.left_out[0]
        with pytest.raises(CompareError, match=r"1 of 1 picture|the reference lacks"):
            match_pictures({"strong": str(results / "strong/Set3")}, tmp_path / "few/Set3")

    def test_one_set(self, results: Path) -> None:
        methods = {"strong": str(results / "strong")}
        assert list(match_pictures(methods).test_sets) == ["Set2", "Set3"]
        assert list(match_pictures(methods, by_folder=False).test_sets) == [""]

    @pytest.mark.parametrize(
        ("methods", "options", "message"),
        [
            ([], {}, "no method is given"),
            (["a={root}/mild", "a={root}/strong"], {}, "two methods are called 'a'"),
            (["a={root}/nowhere"], {}, "is no folder"),
            (["a={root}/mild/Set3", "b={root}/gt"], {}, "no picture is in all folders"),
            (["a={root}/mild"], {"metrics": "psnr-y"}, "psnr-y needs reference images"),
            (["a={root}/mild"], {"baseline": "c"}, "the baseline 'c' is not one of the methods: choose one of a"),
            (["a={root}/mild"], {"metrics": None}, "no metric is given"),
            (["a={root}/mild"], {"protocol": "ntre"}, "unknown protocol 'ntre': did you mean 'ntire'"),
            (["a={root}/mild"], {"crop_border": -1}, "crop_border must be between 0 and"),
            (["a={root}/mild"], {"metrics": "psn-y"}, "unknown metric 'psn-y'"),
        ],
    )  # fmt: skip
    def test_bad_input(self, results: Path, methods: list[str], options: dict[str, Any], message: str) -> None:
        given = [text.format(root=results) for text in methods]
        options = {k: v.format(root=results) if isinstance(v, str) else v for k, v in options.items()}
        with pytest.raises(CLIPIQAError, match=message):
            table(given, **{"metrics": {"n": Mean()}, **options}, **CPU)


class TestCrops:
    def test_the_place_where_they_differ(self, tmp_path: Path) -> None:
        same = np.full((90, 120, 3), 128, np.uint8)
        other = same.copy()
        other[60:80, 80:100] = 200
        left, top, width, height = most_different([same, other], 30)
        assert (width, height) == (30, 30) and left <= 80 and left + 30 >= 100 and top <= 60 and top + 30 >= 80
        for name, values in {"a": same, "b": other, "small": same[:40]}.items():
            Image.fromarray(values).save(tmp_path / f"{name}.png")
        (tmp_path / "broken.png").write_bytes(b"no picture")
        names = ("a", "b", "small", "broken")
        found = differing_crops([str(tmp_path / f"{name}.png") for name in names], 30)
        assert found[0].size == (30, 30) and found[1].getextrema()[0] == (128, 200) and found[2:] == [None, None]

    def test_a_square_larger_than_the_picture(self) -> None:
        picture = np.zeros((20, 10, 3), np.uint8)
        assert most_different([picture, picture], 64) == (0, 0, 10, 20)


class TestCommand:
    def test_writes_what_it_prints(self, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["table", "--methods", f"strong={results}/strong", f"mild={results}/mild", "--reference"]
        command += [f"{results}/gt", "-m", "psnr-y", "mini=clipiqa:backbone=mini", "--device", "cpu", "--quiet"]
        assert main([*command, "--out", str(tmp_path / "out"), "--format", "markdown"]) == 0
        said = capsys.readouterr()
        assert said.out == (tmp_path / "out/table.md").read_text() and "not pyiqa's average" not in said.err
        assert "| method | Set2 psnr-y ↑ | Set2 mini ↑ | Set3 psnr-y ↑ | Set3 mini ↑ |" in said.out
        page = (tmp_path / "out/report.html").read_text()
        assert page.count("<img ") == 5 * (1 + 3) + 5  # whole and three crops of each picture, and a thumbnail
        assert r"\multicolumn{2}{c}{Set3}" in (tmp_path / "out/table.tex").read_text()
        assert main([*command, "--out", str(tmp_path / "out")]) == 2
        assert "holds the scores of an earlier run" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "no method is named"),
            (["--methods", "a=nowhere", "-m", "piqe"], "'nowhere' is no folder"),
        ],
    )
    def test_bad_usage(self, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["table", *options]) == 2
        assert message in capsys.readouterr().err
