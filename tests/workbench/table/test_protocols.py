"""Protocols, published numbers, explanations and earlier scores of ``clipiqa table``."""

import math
import shutil
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


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("name, share", [("ntire-faces", 100 / 150), ("stablevsr", 1 / 2)])
def test_means_are_weighted_as_the_protocol_says(name, share, small):
    """``share`` is the weight of the first folder, which has two of the three images."""
    found = compare(small / "sorted", protocol=name)
    scores = found.scores["musiq"]
    expected = share * scores[:2].mean() + (1 - share) * scores[2]
    assert found.mean("", "musiq", "ours") == pytest.approx(expected, abs=1e-9)
    if name == "ntire-faces":  # a score with a missing part is missing
        assert math.isnan(found.mean("", "faces score", "ours")) and "fid: not computed here" in found.table()


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


def test_an_own_protocol_is_read_by_path_and_what_is_given_wins(small, tmp_path):
    own = tmp_path / "own.yml"
    own.write_text(GOOD + "view: {crop: 4}\nscore: s\nformula: m / 10\n")
    found = compare(small, protocol=own)
    said = found.table()
    assert "Protocol own: T; as its users reconstructed it (here)." in said and "Differs from" not in said
    value = found.mean("", "m", "ours")
    assert found.mean("", "s", "ours") == pytest.approx(value / 10)
    changed = compare(small, "M=ssim", protocol=own, crop_border=0)
    assert changed.mean("", "m", "ours") != value and [*changed.metrics] == ["m", "s"]
    assert "Differs from protocol own: m, crop border." in changed.table()


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


def test_the_command_lists_and_shows_protocols(clipiqa):
    clipiqa("protocols", 0, out="osediff")
    clipiqa("protocols OSEDiff", 0, out="maniqa: maniqa-pipal")
    clipiqa("protocols osedif", 2, "'osediff'")


def test_a_protocol_that_the_command_shows_can_be_read_back(clipiqa, tmp_path):
    for name in shipped_protocols():
        file = tmp_path / f"{name}.yml"
        file.write_text(clipiqa(f"protocols {name}", 0).out)
        assert read_protocol(file) == read_protocol(name)


def test_a_protocol_is_reduced_to_what_can_be_computed(small):
    found = compare(small, protocol="osediff", only=["PSNR", "ssim"])
    assert [*found.metrics] == ["psnr", "ssim"] and "musiq: not computed here: not asked for" in found.table()
    assert "'psnr'" in refused(compare, small, protocol="osediff", only=["psnt"])
    with_entropy = compare(small, ["entropy"], protocol="osediff", only=["psnr"])
    assert [*with_entropy.metrics] == ["psnr", "entropy"]  # what is asked for is no metric of the protocol


SQUASHED = '--protocol FILE with views: {"m": {"square": 512}}'


def fits(found):
    return list(found.explained["change"][found.explained["verdict"] == "fits"])


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    "asked, planted, view, change, option",
    [
        ("psnr", "psnr:test_y_channel=true,color_space=ycbcr", "", "Y of YCbCr (16 to 235)", "-m m=psnr-y"),
        ("psnr-y", "psnr:test_y_channel=true,color_space=yiq", "", "Y of YIQ (0 to 255)", "-m m=psnry"),
        ("ssim-y", "ssimc", "", "RGB", "-m m=ssim-rgb"),
        ("psnr", "psnr", "crop: 4", "a border of 4 px left out", "--crop-border 4"),
        (
            "clipiqa:backbone=mini",
            "clipiqa:backbone=mini,prompts=pyiqa",
            "",
            "five prompt pairs",
            "-m m=clipiqa:prompts=pyiqa,backbone=mini",
        ),
        (
            "clipiqa:backbone=mini,prompts=pyiqa",
            "clipiqa:backbone=mini",
            "",
            "one prompt pair",
            "-m m=clipiqa:prompts=quality,backbone=mini",
        ),
        ("niqe", "niqe_matlab", "", "MATLAB's parameters", "-m m=niqe_matlab"),
        ("maniqa", "maniqa-pipal", "", "PIPAL", "-m m=maniqa-pipal"),
        ("maniqa", "maniqa", "square: 512", "squashed to 512×512 px", SQUASHED),
        (
            "musiq",
            "musiq",
            "center: 224",
            "only the middle 224×224 px",
            SQUASHED.replace("square", "center").replace("512", "224"),
        ),
    ],
)
@pytest.mark.slow
def test_a_planted_change_is_found_and_no_other(asked, planted, view, change, option, small, tmp_path):
    (tmp_path / "planted.yml").write_text(f"{GOOD.replace('psnr', planted)}view: {{{view}}}\n")
    number = compare(small, protocol=tmp_path / "planted.yml").mean("", "m", "ours")
    found = compare(small, f"m={asked}", expect=f"ours: m={number:.6f}", explain=True)
    assert (
        fits(found) == [change]
        and f"tried, {change} explains it ({option}); " in found.table()
        and not found.is_as_expected
    )


@pytest.mark.slow
def test_trials_hash_no_file_again(small, tmp_path, monkeypatch):
    counts = Counter()
    hash_file = hashes.hash_file
    monkeypatch.setattr(hashes, "hash_file", lambda path: counts.update([str(path)]) or hash_file(path))
    found = compare(small, ["m=psnr", "x=mini"], expect="ours: m=1.00 x=0.123", explain=True, out=tmp_path / "out")
    assert found.explained["change"].nunique() > 5
    assert {*found.matched.inputs} <= {*counts} and {*counts.values()} == {1}


@pytest.mark.slow
def test_published_numbers_decide_the_exit_code_and_are_written(clipiqa, small, tmp_path):
    command = f"table --methods ours={small}/ours --reference {small}/gt -m psnr ssim"
    command += f" --device cpu -q --out {tmp_path}/out --resume --expect"
    found = compare(small, ["psnr", "ssim"])
    psnr, ssim = (found.mean("", label, "ours") for label in ("psnr", "ssim"))
    (tmp_path / "paper.csv").write_text(f"Method,PSNR,ssim,other\nOurs,{psnr:.2f},{ssim:.3f},1\nTheirs,1,-,\n")
    lost = "not in this table: method 'Theirs': known names are ours; metric 'other'"
    assert lost in clipiqa(f"{command} {tmp_path}/paper.csv", 1, lost, out="2 of 2").out
    clipiqa(f"{command} 'OURS: psnr={psnr:.2f}'", 0, out="1 of 1")
    for cell in ("", "nan", "-"):  # the only number of its column
        (tmp_path / "paper.csv").write_text(f"Method,PSNR,ssim\nOurs,{psnr:.2f},{cell}\n")
        said = clipiqa(f"{command} {tmp_path}/paper.csv", 1, out="1 of 1").out
        assert said.count("not compared") == 1
    clipiqa(f"{command} 'ours: psnr={psnr:.2f} ssim={ssim + 1:.3f}' --explain", 1)
    expected, explained = (pandas.read_csv(tmp_path / "out" / name) for name in ("expect.csv", "explain.csv"))
    assert expected["agrees"].tolist() == [True, False] and abs(expected["units"][1] + 1000) < 1
    assert set(explained["metric"]) == {"ssim"}
    page = (tmp_path / "out/report.html").read_text()
    assert "Beside published numbers" in page and "tried, none explains it" in page


def test_published_numbers_of_images_are_averaged(small, tmp_path):
    published = compare(small, "psnr").scores[["image", "psnr"]].round(5)
    paper = tmp_path / "paper.csv"
    published = published.assign(image=published["image"] + ".png", sha256="ab" * 32)
    published.loc[3] = ["other.png", 1.0, "ff"]
    published.to_csv(paper, index=False)
    found = compare(small, "psnr", expect=paper)
    assert found.is_as_expected and len(found.expected) == 1
    assert "single images are averaged" in found.table()
    published.astype(str).replace({"psnr": {published["psnr"][0].astype(str): "n/a"}}).to_csv(paper, index=False)
    found = compare(small, "psnr", expect=paper)
    assert not found.is_as_expected and "not compared" in found.table()
    published[1:].to_csv(paper, index=False)
    refused(compare, small, "psnr", expect=paper)


def test_published_numbers_of_the_images_of_several_methods_are_averaged_apart(small, tmp_path):
    of_images = compare(small, "psnr").scores[["image", "psnr"]].round(5)
    rows = [of_images.assign(method=method) for method in ("ours", "theirs")]
    paper = tmp_path / "paper.csv"
    pandas.concat([rows[0][1:], *rows[1:], rows[0][:1]]).to_csv(paper, index=False)  # not sorted
    found = compare(small, "psnr", expect=paper)
    assert found.expected["agrees"].tolist() == [True] and "'theirs'" in found.unknown
    pandas.concat([rows[0][1:], rows[1]]).to_csv(paper, index=False)  # one image lacks a number of ours
    assert "no published numbers of" in refused(compare, small, "psnr", expect=paper)


def test_a_method_cannot_be_called_reference(small):
    assert "another name" in refused(parse_methods, {"reference": small / "ours"})


def test_a_gap_that_is_usual_between_machines_is_told_from_others(small, stand_ins):
    niqe = compare(small, "niqe").mean("", "niqe", "ours")
    for gap, mark in ((0.0, "✓"), (0.01, "≈"), (0.03, "✗")):
        said = compare(small, "niqe", expect=f"ours: niqe={niqe + gap:.4f}").table()
        assert mark in said.splitlines()[-1] and "single images" not in said


METRICS = ["psnr", "clipiqa=clipiqa:backbone=mini"]


@pytest.fixture(scope="module")
def kept(small, tmp_path_factory):
    """The pictures, and what ``save`` wrote of their table."""
    folder = shutil.copytree(small, tmp_path_factory.mktemp("kept") / "table", ignore=lambda *_: ["sorted"])
    compare(folder, METRICS, crop_border=4).save(folder / "out")
    return folder


@pytest.fixture
def earlier(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "table") / "out/images.csv"


def changed(earlier, metrics=METRICS, **options):
    given = {"crop_border": 4, "expect": earlier} | options
    return compare(earlier.parents[1], metrics, **given)


def edit(path, image, column, change):
    rows = pandas.read_csv(path, dtype={"image": "Int64"})
    rows.loc[rows["image"] == image, column] = rows[column].map(change)
    rows.to_csv(path, index=False)


def test_an_earlier_table_agrees_on_another_machine(earlier):
    for method in ("ours", "gt"):  # its row stays, but in no table
        (earlier.parents[1] / method / "2.png").unlink()
    changed(earlier, expect=None, out=earlier.parent, resume=True)
    edit(earlier, 0, "clipiqa", lambda score: score + 1e-7)
    edit(earlier, 1, "psnr", lambda score: score * (1 + 9e-6))
    again = changed(earlier)
    assert again.sources["earlier table 1"]["file"] == str(earlier) and "published numbers 1" not in again.sources
    assert again.changed.empty and again.is_as_expected and "0 values of the earlier table" in again.table("latex")


def test_what_changed_since_an_earlier_table_is_named_with_the_reason(earlier, tmp_path):
    Image.new("RGB", (232, 112), "gray").save(earlier.parents[1] / "ours/1.png")
    edit(earlier, 2, "clipiqa", lambda score: 0.25)
    later = changed(earlier)
    why = later.changed.set_index("what")["why"].to_dict()
    assert not later.is_as_expected and why.keys() == {
        "ours 1 sha256",
        "ours 1 psnr",
        "ours 1 clipiqa",
        "ours 2 clipiqa",
    }
    assert why["ours 1 psnr"] == "the image changed" and why["ours 2 clipiqa"].startswith("another machine")
    later.save(tmp_path / "later")
    assert "ours 1 psnr" in (tmp_path / "later/report.html").read_text()
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "later/changes.csv").fillna(""), later.changed)
    changed(earlier, expect=None).save(tmp_path / "later", overwrite=True)
    assert not (tmp_path / "later/changes.csv").exists()  # it would be of another table


def test_other_options_references_and_images_are_named(earlier):
    found = changed(earlier, crop_border=0).changed.set_index("what")
    assert found.loc["psnr seen", "was"] == "a border of 4 px left out"
    assert found.loc["ours 0 psnr", "why"] == "psnr seen changed" and "ours 0 clipiqa" not in found.index
    Image.open(earlier.parents[1] / "gt/0.png").rotate(180).save(earlier.parents[1] / "gt/0.png")
    for method in ("ours", "gt"):
        (earlier.parents[1] / method / "2.png").rename(earlier.parents[1] / method / "new.png")
    found = changed(earlier).changed.set_index("what")
    assert found.loc["ours 0 psnr", "why"] == "the reference changed" and "ours 0 clipiqa" not in found.index
    assert found.loc["ours 2 clipiqa", "now"] == found.loc["ours new clipiqa", "was"] == "nothing"
    assert found.loc[["ours 2 sha256", "ours 2 reference_sha256"], "now"].eq("nothing").all()
    assert {"clipiqa"} == {what for what in changed(earlier, "psnr").changed["what"] if "clipiqa" in what}


def test_a_damaged_record_of_an_earlier_table_is_refused(earlier):
    earlier.with_name("images.csv.provenance.json").write_text("{")
    refused(changed, earlier)


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
