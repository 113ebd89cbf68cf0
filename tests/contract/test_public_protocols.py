"""Protocols, published numbers, explanations and earlier scores of ``clipiqa table``."""

import math
import shutil

import pandas
import pytest
from assertions import refused
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import table


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


def test_the_command_lists_and_shows_protocols(clipiqa):
    clipiqa("protocols", 0, out="osediff")
    clipiqa("protocols OSEDiff", 0, out="maniqa: maniqa-pipal")
    clipiqa("protocols osedif", 2, "'osediff'")


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
