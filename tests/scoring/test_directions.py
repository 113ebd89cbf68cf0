"""Which way scores point: it travels with every copy of a result file, and of other files the column's name tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.gating import GateError, gate
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.ranking.picking import Photos, pick
from clipiqa_pyiqa.scoring.directions import find_direction
from clipiqa_pyiqa.scoring.result_files import Output, format_of, open_results
from clipiqa_pyiqa.scoring.rows import Header, Row
from clipiqa_pyiqa.scoring.score_files import ScoresError, read_any_scores

FITTED = {"sha256": "ab" * 32, "method": "ridge", "fit_on": "features", "rated_photos": 9, "interval": None}
HEAD = {"range": [1.0, 5.0], "lower_better": True, "head": FITTED}
QUESTION = {"range": [0.0, 1.0], "lower_better": False, "questions": [["Good photo.", "Bad photo."]]}
SHARE = {**QUESTION, "lower_better": True, "statistic": "below_half"}
READ = {
    ".csv": pandas.read_csv,
    ".jsonl": lambda path: pandas.read_json(path, lines=True),
    ".parquet": pandas.read_parquet,
}
RUN = {
    "metric": "clipiqa", "version": "1", "backbone": "mini", "weights": "bundled", "weights_sha256": "cd" * 32,
    "quick_gelu": True, "pos_embedding": "none", "precision": "fp32", "apply_exif": True, "max_side": None,
    "max_pixels": None, "damaged": "refuse", "device": "cpu", "versions": {"torch": "2"},
}  # fmt: skip


def ours(path: Path, shift: float = 0.0, record: Any = HEAD, name: str = "boss", **run: Any) -> Path:
    """A result file as ``clipiqa score`` writes it, of twenty photos and one that has no score."""
    provenance = {**RUN, **run, "scores": {name: record}}
    values = np.random.default_rng(0).uniform(0.3, 0.6, 20) + shift
    with open_results(Output(path, format_of(path), overwrite=True), Header((name,), provenance)) as writer:
        for number, value in enumerate(values):
            writer.write(Row(f"out/{number}.png", (float(value),), 64, 64, 64, 64, 1))
        writer.write(Row("out/empty.png", kind=Kind.EMPTY, error="it is empty."))
    return path


def converted(path: Path, suffix: str, drop: tuple[str, ...] = ()) -> Path:
    """A copy as pandas makes it, without the provenance beside it."""
    frame, to = READ[path.suffix](path).drop(columns=list(drop)), path.with_name(f"{path.stem}-copy{suffix}")
    if suffix == ".parquet":
        frame.attrs.clear()
        frame.to_parquet(to)
    elif suffix == ".jsonl":
        frame.to_json(to, orient="records", lines=True)
    else:
        frame.to_csv(to, index=False)
    return to


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("written", READ)
def test_a_converted_copy_of_a_head_that_low_is_good_for(tmp_path: Path, written: str, suffix: str) -> None:
    files = [ours(tmp_path / f"{name}{written}", shift) for name, shift in (("a", 0.0), ("b", 0.1))]
    copies = [converted(file, suffix) for file in files]
    for base, new in ((files[0], copies[1]), (copies[0], files[1]), copies):  # one of two has its provenance, or none
        (question,) = gate(base, new).questions
        assert (question.verdict, question.direction.known_by) == ("worse", "file")
        assert question.line.endswith("lower is better (as " + Path(base).name + " says)")
    worst = pick(Photos(read_any_scores(copies[0]), "boss"), worst=3)
    assert list(worst) == sorted(worst, reverse=True) and main(["rank", str(copies[0]), "--worst", "1"]) == 0


def test_a_share_of_bad_places_and_words_like_a_direction(tmp_path: Path) -> None:
    """Neither the column's name nor what a prompt says decides."""
    worded = {**QUESTION, "questions": [["Sharp, low is good", "Blurry"]]}
    cases = (("x_below_half", SHARE, "worse"), ("x", worded, "better"), ("niqe", QUESTION, "better"))
    for name, record, expected in cases:
        base, new = (ours(tmp_path / f"{run}.csv", shift, record, name) for run, shift in (("a", 0.0), ("b", 0.1)))
        assert gate(base, new).questions[0].verdict == expected


@pytest.mark.parametrize("drop", [("scale",), ("scale", "scored_width", "scored_height", "exif_orientation")])
def test_where_the_direction_is_lost_it_is_asked_for(tmp_path: Path, capsys: Any, drop: tuple[str, ...]) -> None:
    files = [ours(tmp_path / f"{name}.csv", shift) for name, shift in (("a", 0.0), ("b", 0.1))]
    lost = [str(converted(file, ".csv", drop)) for file in files]
    for command, option in (("gate", ["--lower-better", "boss"]), ("rank", ["--lower-better"])):
        given = [command, *(lost if command == "gate" else [lost[0], "--worst", "1"])]
        assert main(given) == 2 and "pass lower_better or higher_better" in capsys.readouterr().err
        assert main([*given, *option]) == (1 if command == "gate" else 0)
        assert main([*given, "--higher-better", *option[1:]]) == 0
    pandas.read_csv(files[0]).rename(columns={"boss": "chief"}).to_csv(lost[0], index=False)
    with pytest.raises(ScoresError, match="does not say whether"):
        Photos(read_any_scores(lost[0]), "chief")


def test_the_user_does_not_turn_a_head_round_but_may_find_either_answer_good(tmp_path: Path, capsys: Any) -> None:
    head, question = ours(tmp_path / "a.parquet"), ours(tmp_path / "b.parquet", record=QUESTION, name="scary")
    for command in (["rank", str(head), "--worst", "1"], ["gate", str(head), str(converted(head, ".csv"))]):
        option = ["--higher-better", *(["boss"] if command[0] == "gate" else [])]
        assert main([*command, *option]) == 2
        assert "a low 'boss' is good: leave out higher_better." in capsys.readouterr().err
    found = find_direction([read_any_scores(question)], "scary", True)
    assert found.lower_better and str(found) == "lower is better (as the option says, unlike b.parquet)"
    with pytest.raises(GateError, match="both name 'scary'"):
        gate(question, question, lower_better=["scary"], higher_better=True)


LOW = ("niqe", "NIQE (v2)", "lpips-alex", "my_lpips", "LPIPS ↓", "x ↓", "RMSE", "DMOS", "mse")
HIGH = ("psnr", "PSNR ↑", "ssim_y", "niqe ↑", "mos")
UNKNOWN = ("quality", "sharp", "compiqa")


@pytest.mark.parametrize("name", (*LOW, *HIGH, *UNKNOWN))
def test_names_of_other_tools_columns(tmp_path: Path, name: str) -> None:
    frame = pandas.DataFrame({"image": [f"{n}.png" for n in range(9)], name: np.arange(9.0), "scale": 4})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.assign(**{name: frame[name] + 1 + frame[name] / 9}).to_csv(tmp_path / "b.csv", index=False)
    found = gate(tmp_path / "a.csv", tmp_path / "b.csv", columns=[name])
    (question,) = found.questions
    direction = question.direction
    assert direction.lower_better == (name in LOW) and direction.because in question.line
    assert direction.known_by == ("assumed" if name in UNKNOWN else "name")
    assert question.verdict == ("worse" if name in LOW else "better")


AFFINE = {**HEAD, "head": {**FITTED, "sha256": "ef" * 32, "method": "affine"}}
WORDED = {**QUESTION, "questions": [["A photo of Good.", "A photo of Bad."]]}
UNLIKE = {  # what differs -> records of both runs, what else differs, and the values of both
    "head of 'boss'": (HEAD, AFFINE, {}, "abababababab", "efefefefefef"),
    "range of 'boss'": (HEAD, {**HEAD, "range": [0.0, 100.0]}, {}, "[1.0, 5.0]", "[0.0, 100.0]"),
    "questions of 'boss'": (QUESTION, WORDED, {}, "Good photo.|Bad photo.", "A photo of Good.|A photo of Bad."),
    "map_stats cell": (SHARE, SHARE, {"map_stats": {"cell": 16}}, "none", "16"),
    "apply_exif": (QUESTION, QUESTION, {"apply_exif": False}, "true", "false"),
    "damaged": (QUESTION, QUESTION, {"damaged": "keep"}, "refuse", "keep"),
    "backbone": (QUESTION, QUESTION, {"backbone": "RN50"}, "mini", "RN50"),
    "weights_sha256": (QUESTION, QUESTION, {"weights_sha256": "12" * 32}, "cd" * 6, "12" * 6),
    "precision": (QUESTION, QUESTION, {"precision": "bf16"}, "fp32", "bf16"),
    "max_side": (QUESTION, QUESTION, {"max_side": 512}, "none", "512"),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_not_compared(tmp_path: Path, what: str) -> None:
    one, other, run, was, now = UNLIKE[what]
    base, new = ours(tmp_path / "a.csv", record=one), ours(tmp_path / "b.csv", record=other, **run)
    with pytest.raises(GateError, match=re.escape(f"{what} is {was} in {str(base)!r} and {now} in {str(new)!r}")):
        gate(base, new)
    for files in ((converted(base, ".csv"), converted(new, ".jsonl")), (base, converted(new, ".parquet"))):
        with pytest.raises(GateError, match=r"hash of everything that 'boss' depends on is \w{8} in .* and \w{8} in "):
            gate(*files)


def test_what_no_score_depends_on_may_differ(tmp_path: Path) -> None:
    same = {"device": "a GPU", "versions": {"torch": "3"}, "version": "2", "weights": "copy of it"}
    base, new = ours(tmp_path / "a.csv"), ours(tmp_path / "b.csv", **same)
    assert gate(base, new).passed and gate(converted(base, ".csv"), new).passed


def test_rows_of_several_runs_in_one_file(tmp_path: Path) -> None:
    files = [ours(tmp_path / "a.csv"), ours(tmp_path / "b.csv", precision="bf16")]
    pandas.concat(map(pandas.read_csv, files)).to_csv(tmp_path / "both.csv", index=False)
    with pytest.raises(ScoresError, match="holds scores of several runs"):
        read_any_scores(tmp_path / "both.csv")
