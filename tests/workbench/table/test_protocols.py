"""Protocols, published numbers, explanations and earlier scores of ``clipiqa table``."""

import math
from collections import Counter

import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from photos import BUNDLED
from PIL import Image, ImageFilter
from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

from clipiqa_pyiqa import files as hashes
from clipiqa_pyiqa import table
from clipiqa_pyiqa.workbench.files.shipped import shipped_protocols
from clipiqa_pyiqa.workbench.table.chosen_metrics import table_metrics
from clipiqa_pyiqa.workbench.table.formula import formula_value
from clipiqa_pyiqa.workbench.table.method_images import parse_methods
from clipiqa_pyiqa.workbench.table.prepared_images import fit_sizes
from clipiqa_pyiqa.workbench.table.protocols import read_protocol


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three pictures, as ``ours`` made them and as they are, in one folder and sorted into two."""
    root = tmp_path_factory.mktemp("small")
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB").resize((900, 600))
    for number in range(3):
        left = 180 + 50 * number
        top = 180 + 60 * number
        crop = photo.crop((left, top, left + 232, top + 112))
        for method, radius in {"gt": 0.0, "ours": 1.0}.items():
            for folder in (method, f"sorted/{method}/{'CelebA' if number < 2 else 'CelebChild'}"):
                (root / folder).mkdir(parents=True, exist_ok=True)
                crop.filter(ImageFilter.GaussianBlur(radius)).save(root / folder / f"{number}.png")
    return root


def compare(pictures, metrics=None, **options):
    given = {"reference": pictures / "gt", "device": "cpu", "workers": 1, **options}
    return table({"ours": pictures / "ours"}, metrics, **given)


def test_a_protocol_cites_its_source_and_names_metrics_that_pyiqa_knows():
    for name in sorted(shipped_protocols()):
        protocol = read_protocol(name)
        chosen = table_metrics(None, protocol)
        assert [metric.label for metric in chosen.metrics] == list(protocol.metrics) and not chosen.off_protocol
        assert protocol.source


NTIRE = {"lpips": 0.2, "dists": 0.1, "clipiqa": 0.6, "maniqa": 0.5, "musiq": 60.0, "niqe": 4.0}  # 0.8 + 0.9 + 0.6 + …
BETWEEN = {"clipiqa+": 0.5842 + 0.0441 * 1.8703, "laion_aes": 5.5952 - 0.2561 * 2.9342}  # 75 and 25


def test_a_final_score_is_computed_as_the_source_does():
    for name, scores, expected in [
        ("ntire", NTIRE, 4.0),
        ("ntire", NTIRE | {"niqe": 12.0}, 3.4),  # niqe counts no less than 0
        ("ntire-mobile", NTIRE | {"speedup": 32.0}, 2**4 * 2),
        ("ntire-faces", NTIRE | {"qalign": 5.0, "fid": 100.0}, 0.6 + 0.5 + 0.6 + 0.6 + 1),
        ("raim-hdr", {"psnr": 50.0, "ssim": 1.0, "lpips": 0.0}, 82.5),  # the most that the source gives
        ("vbench", {"musiq": 70.0}, 0.7),
        ("worldscore", BETWEEN, 50.0),
    ]:
        assert read_protocol(name).combine(scores, {}) == pytest.approx(expected, abs=1e-9)


def test_a_metric_sees_the_part_of_an_image_that_the_protocol_says():
    for name, label, seen in [
        ("seesr", "psnr", lambda x: x[..., 4:-4, 4:-4]),
        ("seesr", "niqe", lambda x: x),
        ("vbench", "musiq", lambda x: resize(x, [int(112 * 512 / 576), 512], antialias=False)),
    ]:
        x = torch.rand(1, 3, 112, 576)
        torch.testing.assert_close(read_protocol(name).view_of(label)(x), seen(x))


def test_pictures_of_unequal_sizes_are_treated_as_the_source_treats_them():
    x, gt = (torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((108, 240), (112, 232)))
    expected = {
        "ntire": (resize(x / 255, [108, 232]), resize(gt / 255, [108, 232])),
        "invsr": (x[..., :232], gt[:, :108]),
        "raim-hdr": (pil_to_tensor(to_pil_image(x).resize((232, 112), Image.Resampling.BILINEAR)), gt),
    }
    for name, pair in expected.items():
        torch.testing.assert_close(fit_sizes(x, gt, read_protocol(name).unequal), pair)


def test_pictures_of_unequal_sizes_have_no_score_if_the_source_does_not_say_more(small, tmp_path):
    (tmp_path / "ours").mkdir()
    Image.open(small / "ours/0.png").resize((240, 108)).save(tmp_path / "ours/0.png")
    found = compare(tmp_path, "psnr", reference=small / "gt", skip_missing=True)
    assert "240×108 px" in found.metrics["psnr"].error


@pytest.mark.parametrize(
    "label, options, tolerance",
    [
        ("psnr", "", 1e-5),
        pytest.param("niqe", ":pretrained_model_path={}", 0.02, marks=pytest.mark.long),
    ],
)
def test_osediffs_own_numbers_are_reproduced(label, options, tolerance, shared):
    osediff = shared / "data/osediff"
    niqe = shared / "data/weights/niqe_modelparameters.mat"
    published = pandas.read_csv(osediff / "drealsr_published.csv", index_col="image")[label]
    metric = f"{label}={read_protocol('osediff').metrics[label]}{options.format(niqe)}"
    found = table({"ours": osediff / "sr"}, metric, reference=osediff / "hr", device="cpu", workers=1)
    scores = found.scores.set_index(found.scores["image"] + ".png")[label]
    assert len(scores) == 12 and scores.to_dict() == pytest.approx(published[scores.index].to_dict(), abs=tolerance)


def test_a_formula_is_computed():
    values = {"a": 3.0, "clipiqa+": 0.5, "none": math.nan}
    assert formula_value("-a ** 2 / 2 + min(a, 1, 'clipiqa+') * +4 - 1e1", values) == -4.5 + 2 - 10
    for undefined in ("max(0, none)", "1 / (a - 3)", "(0 - a) ** 0.5", "9.0 ** 9 ** 9"):
        assert math.isnan(formula_value(undefined, values))


def test_nothing_but_bounded_arithmetic_is_run():
    for formula in [
        "__import__('os')",
        "a.b",
        "print(a)",
        "min(a, key=a)",
        "True",
        "a +",
        "b",
        "-" * 600 + "a",
        "(" * 400 + "a",
    ]:
        refused(formula_value, formula, {"a": 1.0})


GOOD = "title: T\ncertainty: user\nsource: here\nmetrics: {m: 'psnr'}\n"


def test_a_bad_protocol_is_refused(tmp_path):
    for more, noun in {
        "metric: {}": "'metric'",
        "score: s\nformula: n / 10": "'n'",
        "view: {crop: 1.5}": "crop must be an int",
        "view: {crop: -1}": "between 0",
        "views: {n: {crop: 1}}": "views",
        "average: pictures": "average",
    }.items():
        (tmp_path / "own.yml").write_text(GOOD + more)
        assert noun in refused(read_protocol, tmp_path / "own.yml")


def test_a_protocol_that_the_command_shows_can_be_read_back(clipiqa, tmp_path):
    for name in shipped_protocols():
        file = tmp_path / f"{name}.yml"
        file.write_text(clipiqa(f"protocols {name}", 0).out)
        assert read_protocol(file) == read_protocol(name)


@pytest.mark.slow
def test_trials_hash_no_file_again(small, tmp_path, monkeypatch):
    counts = Counter()
    hash_file = hashes.hash_file
    monkeypatch.setattr(hashes, "hash_file", lambda path: counts.update([str(path)]) or hash_file(path))
    found = compare(small, ["m=psnr", "x=mini"], expect="ours: m=1.00 x=0.123", explain=True, out=tmp_path / "out")
    assert found.explained["change"].nunique() > 5
    assert {*found.matched.inputs} <= {*counts} and {*counts.values()} == {1}


def test_a_method_cannot_be_called_reference(small):
    assert "another name" in refused(parse_methods, {"reference": small / "ours"})


def test_published_numbers_that_cannot_be_used_are_refused(small, tmp_path):
    (tmp_path / "semicolons.csv").write_text("method;psnr\nours;27\n")
    for options, noun in [
        ({"expect": tmp_path / "semicolons.csv"}, "commas"),
        ({"expect": "theirs: psnr=27"}, "'theirs'"),
        ({"expect": "ours: psnr=high"}, "'high'"),
        ({"expect": "paper.csv"}, "No such file"),
        ({"explain": True}, "needs published numbers"),
        ({"expect": "ours: psnr=27", "explain": True, "describe": True}, "scores nothing"),
    ]:
        assert noun in refused(compare, small, "psnr", **options)


def test_each_metric_is_described_in_a_sentence(clipiqa, small, stand_ins, tmp_path):
    for name in ("own.mat", "empty.png"):  # which cannot be scored
        (tmp_path / name).write_bytes(b"")
    clipiqa("table --methods a=. -m mini --device cpu --describe", 0, out="mini: clipiqa-pyiqa")
    printed = clipiqa("table --methods a=. -m mini --device cpu --describe --format csv", 0)
    assert printed.out.startswith("metric,sentence\nmini,") and "0 images" not in printed.err
    asked = ["psnr-y", "CLIPIQA=clipiqa:backbone=mini,prompts=pyiqa", f"niqe:pretrained_model_path={tmp_path}/own.mat"]
    asked.append({"mine": pyiqa.create_metric("psnr", device="cpu")})
    found = compare(small, asked, crop_border=4, trust_weights=True)
    psnr, ours, niqe, mine = found.describe().splitlines()
    assert psnr.startswith("psnr-y: pyiqa 0.1.") and "a border of 4 px left out, fp32." in psnr
    assert "five prompt pairs, mini bundled" in ours
    assert " niqe, own.mat e3b0c442, whole" in niqe  # SHA-256 of nothing
    assert mine.startswith("mine: pyiqa 0.1.") and "psnr, on RGB, a border of 4 px left out" in mine
    assert r"\item CLIPIQA: clipiqa-pyiqa" in found.describe("latex")
    assert "- CLIPIQA: clipiqa-pyiqa" in found.describe("markdown")
    assert "fp32 (in the source fp16" in compare(small, protocol="sinsr").table()
