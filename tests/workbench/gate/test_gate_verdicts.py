"""Verdicts of ``clipiqa gate``: rounding, several columns, margins, flags, and folders of images."""

from xml.etree import ElementTree

import gate as measured
import pandas
import pytest


@pytest.mark.slow
def test_folders_are_scored_paired_and_resumed(clipiqa, folders, command, monkeypatch):
    out = folders / "gate"
    given = f"{command} mini"
    for n in range(20):
        for name, end in (("base", "a7"), ("new", "9c")):
            (folders / f"{name}/{n}.png").rename(folders / f"{name}/{n}-{end}{n}.png")
    clipiqa(given, 0, out="mini: no change: +0.0000")
    assert len(pandas.read_parquet(out / "base.parquet")) == len(pandas.read_parquet(out / "new.parquet")) == 20
    assert set(pandas.read_csv(out / "rows.csv")["row"]) == set(range(20))  # the numbers before the hyphens
    xml = (out / "gate.xml").read_bytes()
    clipiqa(given, 2)
    assert (out / "gate.xml").read_bytes() == xml
    clipiqa(f"{given} --resume", 0)
    (folders / "new/0-9c0.png").write_bytes(b"")
    (folders / "new/1-9c1.png").unlink()
    clipiqa(
        f"{given} --overwrite --allow-missing 1", 1, out="FAILED: 1 image cannot be read (accepted: 1 image missing"
    )
    clipiqa(f"gate {folders}/base {out}/new.parquet", 2, "name the metrics")
    monkeypatch.setattr("clipiqa_pyiqa.workbench.scoring.circumstances.__version__", "0.0.9")
    monkeypatch.setattr(
        "clipiqa_pyiqa.workbench.scoring.circumstances.version", {"simplejpeg": "0.0.8"}.get
    )  # so others are unknown
    ran = clipiqa(f"gate {out}/base.parquet {folders}/new -m mini --allow-missing 1")
    assert " and 0.0.9" in ran.err and ran.err.count("simplejpeg") == 1 and " and 0.0.8" in ran.err


@pytest.mark.slow
def test_a_metric_is_found_under_another_name_and_no_temporary_file_is_written(clipiqa, folders, monkeypatch):
    clipiqa("score base -b mini --device cpu --out base.csv", 0)
    given = "gate base.csv new --device cpu --margin quality=0.01 -m"
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", "/nowhere")
        for asked, name in (("clipiqa -b mini", "clipiqa"), ("sharp=mini", "sharp")):
            clipiqa(f"{given} {asked}", 0, f"'{name}' of ", out="quality: pass: ")
    clipiqa(f"{given} clipiqa:backbone=mini,prompts=sharpness", 2)  # another metric
    clipiqa("score base -p quality sharpness -b mini --device cpu --out base.csv --overwrite", 0)
    clipiqa(f"{given} mini", 0, "not compared, as not asked for: 'sharpness'", out="quality: pass: ")
    clipiqa("score base -m mini piqe --device cpu --out base.parquet", 0)
    assert "versions" not in clipiqa("gate base.parquet new -m piqe --device cpu", 0, "'mini'").err
    assert "scale" not in clipiqa("gate base.parquet base.parquet --by x", 2, "mini, piqe").err


def stopped(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_folders_without_images_are_named_before_anything_is_scored(clipiqa, folders, monkeypatch):
    (folders / "empty").mkdir()
    for name, wrong in (("empty", "without image files"), ("missing", "does not exist")):
        command = f"gate {folders}/base {folders / name} -m mini --format markdown"
        clipiqa(command, 2, wrong, name, out="## ERROR: no verdict")
    asked = f"gate {folders}/base {folders}/base --out gate --overwrite -m mini"
    clipiqa(f"{asked} --device cpu", 0)
    for mistake, named in (("--by minn", "'minn'"), ("--marginn 1", "--marginn"), ("--batch-size x", '"x"')):
        clipiqa(f"{asked} {mistake}", 2, named)  # no job publishes the last run's verdict, or none
        suite = ElementTree.parse("gate/gate.xml").getroot()
        assert suite.get("errors") == "1" and named in suite.find("testcase/error").get("message")
        (folders / "gate/gate.xml").unlink()
    clipiqa(f"{asked} --device cpu", 0)
    monkeypatch.setattr("clipiqa_pyiqa.workbench.gate.gating.judge", stopped)
    clipiqa(f"{asked} --device cpu", 130)
    assert "interrupted" in (folders / "gate/gate.xml").read_text()


@pytest.mark.slow
def test_six_columns_without_change_are_rarely_worse():
    for shape in ["normal", "heavy tails, t(3)"]:
        assert measured.false_alarms(shape, 20, 6, runs=300) < 0.05  # uncorrected: 0.13
        assert measured.passed(shape, 20, runs=300) < 0.05


@pytest.mark.slow
def test_a_change_of_most_rows_is_no_proof_if_a_tenth_may_cancel_it():
    """In 43 % of samples of eight, none of the tenth is there."""
    for name in measured.TIED:
        for n in (6, 8, 12, 20, 29):
            assert measured.tied_alarms(name, n, runs=400) <= 0.06


def test_a_loss_that_would_show_four_times_in_five_does():
    assert 0.7 < measured.power("normal", 200, 1, runs=150) < 0.9  # three deviations of a share of 0.8
