"""Promises of docs/table.md, compare.md and scoring.md about verdicts: gate, table, compare and rank."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from photos import BUNDLED, save_corrupt, save_grey
from PIL import Image, ImageFilter
from scipy import stats

from clipiqa_pyiqa import compare, gate, read_scores, table

BASE = np.linspace(0.3, 0.7, 40)
NOISE = np.random.default_rng(0).normal(0, 0.01, 40)


def last_line(printed):
    return printed.splitlines()[-1]


def write(file, names, **columns):
    pandas.DataFrame({"path": names, **columns}).to_csv(file, index=False)
    return file


# gate: exit codes, files for CI, findings


@pytest.mark.parametrize("loss, options, code, verdict", [
    (0.0, "", 0, "PASSED"),
    (0.03, "", 1, "FAILED: q is worse"),
    (-0.03, "", 0, "PASSED"),
    (0.03, "--margin 0.05", 0, "PASSED"),
    (0.03, "--margin q=0.01", 1, "FAILED: q is worse"),
    (0.03, "--lower-better q", 0, "PASSED"),
    (-0.03, "--lower-better q", 1, "FAILED: q is worse"),
    (0.0, "--worst-loss 0.5", 0, "PASSED"),
    (0.0, "--worst-loss 0.01", 1, "FAILED: q is worse"),
])  # fmt: skip
def test_a_gate_ends_with_its_verdict_and_exit_code(clipiqa, runs, loss, options, code, verdict):
    runs(q=(BASE, BASE - loss + NOISE))
    assert last_line(clipiqa(f"gate base.csv new.csv {options}", code).out).startswith(verdict)


def test_a_margin_that_so_few_rows_cannot_decide_is_unclear_and_may_be_a_warning(clipiqa, runs):
    runs(q=(BASE[:8], BASE[:8] + NOISE[:8]))
    clipiqa("gate base.csv new.csv --margin 0.001", 1, out="unclear")
    clipiqa("gate base.csv new.csv --margin 0.001 --unclear warn", 0, out="unclear")


def test_the_files_for_a_job_say_the_verdict(clipiqa, runs):
    runs(q=(BASE, BASE - 0.03 + NOISE), up=(BASE, BASE + 0.03 + NOISE))
    clipiqa("gate base.csv new.csv --out gate", 1)
    found = json.loads(Path("gate/gate.json").read_text())
    assert found["verdict"] == "failed" and found["reasons"] and not found["accepted"]
    worse, better = found["columns"]
    assert (worse["name"], worse["verdict"], better["verdict"]) == ("q", "worse", "better")
    low, difference, high = worse["gains"]
    assert low < difference < high < 0 and difference == pytest.approx(np.mean(NOISE) - 0.03)
    rows = pandas.read_csv("gate/rows.csv")
    assert len(rows) == 40 and rows["q difference"].mean() == pytest.approx(difference)
    assert {path.name for path in Path("gate").iterdir()} == {"gate.json", "gate.xml", "rows.csv", "provenance.json"}


def test_bad_input_is_2_and_no_verdict(clipiqa, runs):
    runs(q=(BASE, BASE))
    Path("no.csv").write_text("path\n0\n")
    for line in (
        "base.csv nowhere.csv",
        "base.csv no.csv",
        "base.csv new.csv --margin x",
        "base.csv new.csv --by z",
        "",
    ):
        assert "PASSED" not in clipiqa(f"gate {line}", 2).out


def test_runs_that_were_scored_in_different_ways_are_refused_with_both_ways(clipiqa, folders):
    clipiqa("score base -b mini --device cpu --out base.csv", 0)
    clipiqa("score new -b mini --device cpu --max-side 50 --out new.csv", 0)
    ran = clipiqa("gate base.csv new.csv", 2)
    assert "50" in ran.err and "PASSED" not in ran.out
    clipiqa("score new -m 'quality=mini:prompts=sharpness' --device cpu --out other.csv", 0)
    said = clipiqa("gate base.csv other.csv", 2).err
    assert "Good photo." in said and "Sharp photo." in said


@pytest.mark.parametrize("change, reason, accept", [
    ("collapsed", "20 of 20 new images have equal pixels", None),
    ("resized", "1 image of another size", "--allow-resize"),
    ("missing", "1 image missing in the new run", "--allow-missing 1"),
    ("added", "1 image in the new run only", "--allow-new"),
    ("black", "1 image newly flagged (almost black)", "--allow-flag 'almost black'"),
    ("damaged", "1 image cannot be read", None),
])  # fmt: skip
def test_what_fails_a_gate_whatever_the_scores_say(clipiqa, folders, command, change, reason, accept):
    first = folders / "new/0.png"
    if change == "collapsed":
        for number in range(1, 20):
            (folders / f"new/{number}.png").write_bytes(first.read_bytes())
    elif change == "resized":
        Image.open(first).resize((100, 80)).save(first)
    elif change == "missing":
        first.unlink()
    elif change == "added":
        Image.open(first).rotate(180).save(folders / "new/more.png")
    elif change == "black":
        save_grey(first, 1, (80, 64))
    else:
        first.write_bytes(b"torn")
    line = f"{command} mini --margin 0.9"
    assert last_line(clipiqa(line, 1).out) == f"FAILED: {reason}"
    if accept:
        accepted = last_line(clipiqa(f"{line} --overwrite {accept}", 0).out)
        assert accepted.startswith("PASSED (accepted: 1 image")


def test_python_says_what_the_command_says(runs):
    files = runs(q=(BASE, BASE - 0.03 + NOISE))
    found = gate(*files, margin=0.01)
    assert found.verdict == "failed" and not found.has_passed
    (column,) = found.columns.to_dict("records")
    assert column["verdict"] == "worse" and column["low"] < column["difference"] < column["high"]
    assert found.worst("q", 1).index[0] == str(np.argmin(NOISE))


# table: numbers, differences, expectations, matching


@pytest.fixture
def methods(tmp_path):
    """Eight references, and two methods of which one blurs more."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB")
    for name, radius in {"gt": 0, "mild": 0.6, "strong": 2}.items():
        (tmp_path / name).mkdir()
        for number in range(8):
            left = 9 * number
            piece = photo.crop((left, 10, left + 96, 74))
            piece.filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / f"{name}/{number}.png")
    return tmp_path


TABLE = "table --methods strong=strong mild=mild --reference gt --device cpu -q"


def psnr_y(folder):
    """MATLAB's, of Y from 16 to 235."""
    values = []
    for number in range(8):
        sides = []
        for name in (folder, "gt"):
            pixels = np.asarray(Image.open(f"{name}/{number}.png").convert("RGB"), float) / 255
            sides.append(16 + pixels @ [65.481, 128.553, 24.966])
        values.append(10 * np.log10(255**2 / np.square(sides[0] - sides[1]).mean()))
    return np.array(values)


def test_means_ranks_and_paired_differences(clipiqa, methods):
    clipiqa(f"{TABLE} -m psnr-y mini --baseline strong --out out", 0)
    rows = pandas.read_csv("out/table.csv", comment="#").set_index(["metric", "method"])
    strong = psnr_y("strong")
    mild = psnr_y("mild")
    for name, values in {"strong": strong, "mild": mild}.items():
        assert rows.loc[("psnr-y", name), "mean"] == pytest.approx(values.mean(), abs=1e-3)
    assert rows.loc[("psnr-y", "mild"), "rank"] == 1 and rows.loc[("psnr-y", "strong"), "rank"] == 2
    row = rows.loc[("psnr-y", "mild")]
    assert row["difference"] == pytest.approx((mild - strong).mean(), abs=1e-3) and row["p Holm"] < 0.05
    images = pandas.read_csv("out/images.csv")
    assert len(images) == 16
    names = {path.name for path in Path("out").iterdir()}
    assert {"table.md", "table.tex", "table.csv", "images.csv", "report.html", "provenance.json"} <= names


@pytest.mark.parametrize("format, mark", [("markdown", "**"), ("latex", r"\textbf"), ("csv", "mean"), ("table", "*")])
def test_every_format_marks_the_best(clipiqa, methods, format, mark):
    said = clipiqa(f"{TABLE} -m psnr-y --format {format}", 0).out
    assert mark in said and "mild" in said


def test_numbers_that_agree_are_0_and_others_1(clipiqa, methods):
    mean = psnr_y("mild").mean()
    clipiqa(f"{TABLE} -m psnr-y --expect 'mild: psnr-y={mean:.2f}'", 0)
    clipiqa(f"{TABLE} -m psnr-y --expect 'mild: psnr-y={mean + 1:.2f}'", 1)
    Path("paper.csv").write_text(f"method,psnr-y\nmild,{mean:.2f}\n")
    clipiqa(f"{TABLE} -m psnr-y --expect paper.csv --out out", 0)
    assert pandas.read_csv("out/expect.csv")["agrees"].all()


def test_a_table_is_resumed_and_metrics_are_added(clipiqa, methods):
    clipiqa(f"{TABLE} -m psnr-y --out out", 0)
    clipiqa(f"{TABLE} -m psnr-y --out out", 2, "out")
    before = pandas.read_csv("out/images.csv")
    clipiqa(f"{TABLE} -m psnr-y ssim-y --out out --resume", 0)
    after = pandas.read_csv("out/images.csv")
    assert after["psnr-y"].equals(before["psnr-y"]) and after["ssim-y"].notna().all()


def test_a_folder_that_lacks_an_image_stops_the_table(clipiqa, methods):
    (methods / "mild/3.png").unlink()
    ran = clipiqa(f"{TABLE} -m psnr-y", 2, "3")
    assert "psnr" not in ran.out


def test_scores_of_another_tool_stand_beside_ours_by_method(clipiqa, methods):
    for number, name in enumerate(("strong", "mild")):
        write(f"judge-{name}.csv", [f"{n}.png" for n in range(8)], score=[number + n / 10 for n in range(8)])
    clipiqa(f"{TABLE} -m 'judge=judge-{{method}}.csv:lower_better=true' --out out", 0)
    rows = pandas.read_csv("out/table.csv", comment="#").set_index("method")
    assert rows["mean"].to_dict() == pytest.approx({"strong": 0.35, "mild": 1.35}) and rows.loc["strong", "rank"] == 1


def test_python_makes_the_commands_table(methods, monkeypatch):
    monkeypatch.chdir(methods)
    found = table({"strong": "strong", "mild": "mild"}, ["psnr-y"], reference="gt", baseline="strong", device="cpu")
    frame = found.frame().set_index("method")
    assert frame.loc["mild", "mean"] == pytest.approx(psnr_y("mild").mean(), abs=1e-3)
    found.save("out")
    assert Path("out/table.csv").is_file()


# compare: agreement with people, and which metrics differ


@pytest.fixture
def rated(tmp_path):
    """Opinions and three tools' scores of thirty images that are not here."""
    draw = np.random.default_rng(0)
    opinions = np.linspace(1, 5, 30)
    columns = {"mos": opinions, "niqe": 9 - opinions + draw.normal(0, 0.5, 30)}
    columns |= {"judge": opinions + draw.normal(0, 0.5, 30), "dice": draw.normal(size=30)}
    return write(tmp_path / "all.csv", [f"photos/{n}.png" for n in range(30)], **columns)


METRICS = "-m niqe=all.csv judge=all.csv:lower_better=false dice=all.csv:lower_better=false"


def test_correlations_are_scipys_and_positive_is_good(clipiqa, rated):
    clipiqa(f"compare {METRICS} -d all.csv --out out", 0)
    rows = pandas.read_csv("out/comparison.csv").set_index("metric")
    frame = pandas.read_csv(rated)
    for name, sign in {"niqe": -1, "judge": 1, "dice": 1}.items():
        scores = sign * frame[name]
        assert rows.loc[name, "SROCC"] == pytest.approx(stats.spearmanr(scores, frame["mos"])[0])
        assert rows.loc[name, "PLCC"] == pytest.approx(stats.pearsonr(scores, frame["mos"])[0])
        assert rows.loc[name, "KRCC"] == pytest.approx(stats.kendalltau(scores, frame["mos"])[0])
    assert rows["direction"].to_dict() == {"niqe": "lower", "judge": "higher", "dice": "higher"}
    names = {path.name for path in Path("out").iterdir()}
    assert {"scores", "differences.csv", "comparison.csv", "report.html", "provenance.json"} <= names


def test_differences_are_paired_and_p_is_corrected_by_holms_rule(clipiqa, rated):
    clipiqa(f"compare {METRICS} -d all.csv --out out --bootstrap 200", 0)
    rows = pandas.read_csv("out/differences.csv")
    single = pandas.read_csv("out/comparison.csv").set_index("metric")
    for (statistic, first, second), row in rows.set_index(["statistic", "first", "second"]).iterrows():
        difference = single.loc[first, statistic] - single.loc[second, statistic]
        assert row["difference"] == pytest.approx(difference) and row["low"] < difference < row["high"]
        assert row["significant"] == (second == "dice") and row["p"] <= row["p Holm"] <= 1
    for _, each in rows.groupby("statistic"):
        smallest, _, largest = each.sort_values("p").to_dict("records")
        assert smallest["p Holm"] == pytest.approx(3 * smallest["p"]) and largest["p Holm"] == largest["p"]


def test_a_split_and_groups_choose_the_images(clipiqa, rated, tmp_path):
    frame = pandas.read_csv(rated)
    frame["split"] = ["train", "test"] * 15
    frame["scene"] = [f"s{n // 10}" for n in range(30)]
    frame.to_csv(rated, index=False)
    clipiqa(f"compare {METRICS} -d a=all.csv:split=test --within scene --out out", 0)
    rows = pandas.read_csv("out/comparison.csv").set_index("metric")
    part = frame[frame["split"] == "test"]
    assert rows.loc["judge", "SROCC"] == pytest.approx(stats.spearmanr(part["judge"], part["mos"])[0])
    within = part.groupby("scene")[["judge", "mos"]].apply(lambda each: stats.spearmanr(each["judge"], each["mos"])[0])
    assert rows.loc["judge", "SROCC within"] == pytest.approx(within.mean())


def test_photos_are_scored_and_a_damaged_one_is_left_out_of_all_metrics(clipiqa, methods):
    save_corrupt(methods / "mild/0.png")
    write("mos.csv", [f"mild/{n}.png" for n in range(8)], mos=range(8))
    ran = clipiqa("compare -m mini entropy -d mos.csv --bootstrap 0 --device cpu --out out", 1, "0.png")
    assert "n" in ran.out
    rows = pandas.read_csv("out/comparison.csv").set_index("metric")
    assert rows["n"].tolist() == [7, 7]
    scores = read_scores("out/scores/mos.parquet").frame
    assert scores[["mini", "entropy"]].notna().sum().tolist() == [7, 7]
    clipiqa("compare -m mini entropy piqe -d mos.csv --bootstrap 0 --device cpu --out out --resume", 1)
    after = read_scores("out/scores/mos.parquet").frame
    assert after["mini"].equals(scores["mini"]) and "piqe" in after


def test_python_compares_objects(methods):
    def brightness(x):
        return x.mean()

    brightness.lower_better = True
    found = compare({"bright": brightness}, str(methods / "mild"), device="cpu")
    (data_set,) = found.data_sets
    assert data_set.scores["bright"].notna().all() and found.differences().empty
    assert list(found.frame()["direction"]) == ["lower"]


# rank: which photos, and what is gone


@pytest.fixture
def photos(tmp_path, clipiqa):
    """Photos of rising brightness, with scores by another tool whose order is theirs."""
    for number in range(10):
        save_grey(tmp_path / f"photos/{number}.png", 20 * number + 20, (48, 40 + number))
    clipiqa("score photos -m entropy mini --device cpu --out ours.csv", 0)
    write("s.csv", [f"photos/{n}.png" for n in range(10)], taste=[n / 10 for n in range(10)], width=range(10))
    return tmp_path / "photos"


def picked(clipiqa, line, code=0):
    return [Path(path).stem for path in clipiqa(f"rank {line} --paths", code).out.splitlines()]


@pytest.mark.parametrize("options, names", [
    ("--best 2", "98"),
    ("--worst 3", "012"),
    ("--best 20%", "98"),
    ("--worst 10%", "0"),
    ("--where 'taste >= 0.7'", "987"),
    ("--where 'taste >= 0.3' 'width < 6' --worst 2", "34"),
    ("--where 'width < 5' --best 40%", "43"),
    ("--best 2 --lower-better", "01"),
])  # fmt: skip
def test_photos_are_picked(clipiqa, photos, options, names):
    assert picked(clipiqa, f"s.csv --by taste {options}") == list(names)


def test_paths_end_with_nul_for_xargs(clipiqa, photos):
    said = clipiqa("rank s.csv --by taste --best 2 --paths -0", 0).out
    assert said == "photos/9.png\0photos/8.png\0"


def test_a_picked_photo_that_is_gone_is_named_and_the_exit_code_is_1(clipiqa, photos):
    (photos / "9.png").unlink()
    clipiqa("rank s.csv --by taste --best 2 --paths", 1, "9.png")
    clipiqa("rank s.csv --by taste --worst 2 --paths", 0)


def test_a_picked_photo_that_changed_since_stops_before_any_path_is_printed(clipiqa, photos):
    best = picked(clipiqa, "ours.csv --by mini --best 1")[0]
    save_grey(photos / f"{best}.png", 3, (64, 48))
    ran = clipiqa("rank ours.csv --by mini --best 2 --paths", 2, f"{best}.png")
    assert ran.out == ""


def test_photos_without_a_score_are_named_and_the_exit_code_is_1(clipiqa, photos):
    Path("s.csv").write_text("path,taste\nphotos/0.png,1\nphotos/1.png,\nphotos/2.png,3\n")
    clipiqa("rank s.csv --best 1 --paths", 1, "1.png")


def test_folders_are_scored_and_sheets_and_a_table_are_written(clipiqa, photos):
    clipiqa("rank photos -b mini --best 3 --device cpu --out out", 0)
    frame = pandas.read_csv("out/ranking.csv")
    assert len(frame) == 10 and Path("out/rank-quality.png").is_file()
    clipiqa("rank ours.csv --by mini --best 3 --page page", 0)
    assert Path("page/ranking.html").is_file() and len(list(Path("page").rglob("*.jpg"))) == 3
