"""A verdict of ``clipiqa gate`` is about all that was asked and all that was there: what is missing is named."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from PIL import Image

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.gating import gate


@pytest.fixture
def files(tmp_path):
    """Writes the runs base.csv and new.csv of other tools, of 24 rows; returns a command."""

    def write(new=None, **columns):
        names = [f"{n}.png" for n in range(24)]
        base = pandas.DataFrame({"image": names} | {name: was for name, (was, _) in columns.items()})
        after = pandas.DataFrame({"image": names} | {name: now for name, (_, now) in columns.items()})
        base.to_csv(tmp_path / "base.csv", index=False)
        after.to_csv(tmp_path / "new.csv", index=False)
        return ["gate", str(tmp_path / "base.csv"), str(tmp_path / "new.csv")]

    return write


def with_cell(values, cell, place=5):
    found = list(values)
    found[place] = cell
    return found


SPREAD = np.linspace(0, 1, 24)


@pytest.mark.parametrize("cell", ["nan", "NaN", "N/A", "-", "null", "None", "1,5"])
def test_one_cell_that_is_no_number_does_not_drop_its_column(files, cell, capsys, caplog):
    command = files(niqe=(3 + SPREAD, with_cell(9 + SPREAD, cell)), piqe=(40 + SPREAD, 40 + SPREAD))
    assert main([*command, "--skip-missing"]) == 1
    assert "niqe: worse: +6.0" in (said := capsys.readouterr()).out and "n = 23" in said.out
    assert "1 score of 'niqe'" in caplog.text and repr(cell) in caplog.text
    assert ("decimal comma" in caplog.text) == (cell == "1,5")


def test_empty_cells_and_truth_values_are_no_text_that_is_named(files, caplog):
    both = (with_cell(SPREAD, ""), with_cell(SPREAD, ""))
    command = files(niqe=both, is_day=([True] * 24, [False] * 24))
    assert main([*command, "--skip-missing"]) == 0 and "no number" not in caplog.text
    assert [pair.name for pair in gate(*command[1:], skip_missing=True).pairs] == ["niqe"]


def test_rank_takes_the_first_column_although_a_cell_is_no_number(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("image,quality,megapixels\na.png,0.9,1\nb.png,n/a,2\nc.png,0.2,3\n")
    assert main(["rank", str(tmp_path / "a.csv"), "--worst", "1", "--paths"]) == 0
    assert capsys.readouterr().out == "c.png\n"


def test_a_sentinel_in_both_runs_hides_no_change(files):
    sentinel = with_cell(3 + SPREAD, 1e7), with_cell(9 + SPREAD, 1e7)
    assert main(files(niqe=sentinel)) == 1


def test_few_rows_that_agree_pass_with_a_margin(tmp_path):
    frame = pandas.DataFrame({"image": list("abcdefgh"), "q": SPREAD[4:12]})
    for name, column in (("a", frame.q), ("b", frame.q * (1 + 5e-7)), ("c", frame.q * (1 + 5e-5))):
        frame.assign(q=column).to_csv(tmp_path / f"{name}.csv", index=False)
    verdicts = [gate(tmp_path / "a.csv", tmp_path / f"{name}.csv", margin=0.1).verdict for name in "abc"]
    assert verdicts == ["pass", "pass", "unclear"]


def test_a_score_that_is_missing_in_a_run_is_a_finding_that_can_be_accepted(files, tmp_path, capsys):
    once = with_cell(SPREAD, "")
    command = [*files(niqe=(SPREAD, once), piqe=(once, once)), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "'niqe' has no score of 1 image in" in said and "'piqe' has no score of 1 image in" in said
    written = json.loads((tmp_path / "out/gate.json").read_text())
    assert len(written["missing"]) == 3 and written["verdict"] == "unclear" and not written["passed"]
    suite = ElementTree.parse(tmp_path / "out/gate.xml").getroot()
    assert suite.get("failures") == "1" and "'niqe'" in suite.find("testcase/failure").text
    assert main([*command, "--overwrite", "--skip-missing"]) == 0
    said = capsys.readouterr()
    assert "n = 23" in said.out and "left out: 'niqe' has no score of 1 image" in said.err


def test_infinite_scores_are_values(files, capsys):
    equal = with_cell(SPREAD, np.inf)
    assert main(files(psnr=(equal, equal))) == 0
    said = capsys.readouterr()
    assert "n = 23" in said.out and "infinite in both runs for 1 row" in said.err
    command = files(psnr=(equal, SPREAD))
    assert main(command) == 1 and "infinite in one run only" in capsys.readouterr().out
    assert main([*command, "--skip-missing"]) == 0


def test_names_that_look_alike_are_told_apart(files, tmp_path, capsys):
    command = files(niqe=(SPREAD, SPREAD))
    for name, letter in (("base", "\u00e9"), ("new", "e\u0301")):
        file = tmp_path / f"{name}.csv"
        file.write_text(file.read_text().replace("3.png", f"{letter}.png", 1))
    assert main(command) == 2 and r"'e\u0301'" in capsys.readouterr().err


@pytest.fixture
def folders(tmp_path):
    """Folders base and new of 20 equal pictures of 64 by 64."""
    draw = np.random.default_rng(0)
    for name in ("base", "new"):
        (tmp_path / name).mkdir()
    for n in range(20):
        pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        for name in ("base", "new"):
            image.save(tmp_path / name / f"{n}.png")
    return tmp_path


def command(folders, *metrics):
    base, new, out = (str(folders / name) for name in ("base", "new", "out"))
    return ["gate", base, new, "--device", "cpu", "--out", out, "--metrics", *metrics]


def test_a_metric_without_any_score_is_a_failure_that_is_named(folders, capsys):
    given = command(folders, "mini", "niqe=niqe:pretrained_model_path=/nope.mat")
    assert main(given) == 1 and "'niqe' has no score of 20 images" in capsys.readouterr().out
    assert main([*given, "--resume", "--skip-missing"]) == 1  # no row is left to judge
    assert [each["name"] for each in json.loads((folders / "out/gate.json").read_text())["columns"]] == ["mini"]
    capsys.readouterr()
    assert main(["rank", str(folders / "out/base.parquet"), "--by", "niqe"]) == 2
    assert "no photo has a score of 'niqe'" in capsys.readouterr().err


def test_an_image_that_cannot_be_read_in_both_runs_is_named(folders, capsys):
    for name in ("base", "new"):
        (folders / name / "3.png").write_bytes(b"no image")
    given = command(folders, "mini")
    assert main(given) == 1
    assert "'3'" in (said := capsys.readouterr().out) and "n = 19" in said
    assert main([*given, "--overwrite", "--skip-missing"]) == 0


def test_a_flagged_image_without_a_score_fails_with_files(folders, capsys):
    Image.new("RGB", (64, 64)).save(folders / "new/3.png")
    assert main(command(folders, "piqe")) == 1
    assert "'piqe' has no score of 1 image" in (said := capsys.readouterr().out) and "'3 (" in said
    assert (folders / "out/gate.json").exists()


def test_a_resumed_verdict_is_about_the_images_that_are_there(folders, capsys):
    given = command(folders, "mini")
    assert main(given) == 0 and "n = 20" in capsys.readouterr().out
    for n in range(1, 20):
        (folders / f"new/{n}.png").unlink()
    assert main([*given, "--resume"]) == 2 and "lacks 19 rows" in capsys.readouterr().err
    for n in range(10, 20):
        (folders / f"base/{n}.png").unlink()
    for n in range(1, 10):
        (folders / f"new/{n}.png").write_bytes((folders / f"base/{n}.png").read_bytes())
    assert main([*given, "--resume"]) == 0 and "n = 10" in capsys.readouterr().out


def test_images_of_another_size_and_unreadable_ones_are_counted(folders, capsys):
    base, new = (str(folders / name) for name in ("base", "new"))
    for n in range(3):
        Image.open(f"{base}/{n}.png").resize((32, 32)).save(f"{new}/{n}.png")
    Image.open(f"{base}/3.png").save(f"{new}/more.tga")  # which is not read
    assert main(command(folders, "mini")) in (0, 1)
    assert "3 of 20 images" in (said := capsys.readouterr().err) and "1 skipped: 1 .tga" in said
    main(["table", "--methods", f"a={base}", f"b={new}", "--metrics", "mini", "--device", "cpu"])
    assert "1 skipped: 1 .tga" in capsys.readouterr().err
