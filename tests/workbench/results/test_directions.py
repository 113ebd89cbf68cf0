"""Which way scores point: it travels with every copy of a result file, and of other files the column's name tells."""

import numpy as np
import pandas
import pytest
from assertions import refused

from clipiqa_pyiqa import gate
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.metrics.file_scores import read_file_metric
from clipiqa_pyiqa.workbench.results.columns import Column
from clipiqa_pyiqa.workbench.results.directions import find_direction
from clipiqa_pyiqa.workbench.results.known_directions import HIGHER_BETTER, LOWER_BETTER
from clipiqa_pyiqa.workbench.results.output import Output
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.results.store import open_results

FITTED = {"sha256": "ab" * 32, "method": "ridge", "fit_on": "features", "rated_photos": 9, "interval": None}
HEAD = {"range": [None, None], "score_range": [1.0, 5.0], "lower_better": True, "head": FITTED}
QUESTION = {"range": [0.0, 1.0], "lower_better": False, "questions": [["Good photo.", "Bad photo."]]}
RUN = {"metric": "clipiqa", "weights": "bundled", "weights_sha256": "cd" * 32, "precision": "fp32"}


def ours(path, shift=0.0, record=HEAD, name="boss", **run):
    """A result file as ``clipiqa score`` writes it, of thirty photos and one that has no score."""
    columns = [Column(name, {**RUN, **run, **record})]
    values = np.random.default_rng(0).uniform(0.3, 0.6, 30) + shift
    with open_results(Output(path), columns, {}) as results:
        for number, value in enumerate(values):
            results.append(Row(f"out/{number}.png", (float(value),), 64, 64, 64, 64, 1))
        results.append(Row("out/empty.png", kind=Kind.EMPTY, error="it is empty."))
    return path


@pytest.fixture
def two(tmp_path):
    """Makes two result files, the second with higher scores."""
    return lambda *about: [ours(tmp_path / f"{name}.csv", shift, *about) for name, shift in (("a", 0.0), ("b", 0.1))]


def converted(path, suffix=".parquet", drop=()):
    """A copy as pandas makes it, without the provenance beside it."""
    frame = read_by_pandas(path).drop(columns=list(drop))
    copy = path.with_name(f"{path.stem}-copy{suffix}")
    if suffix == ".csv":
        frame.to_csv(copy, index=False)
    else:
        frame.to_parquet(copy)
    return copy


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_converted_copy_says_that_low_is_good(two, suffix):
    files = two()
    copies = [converted(file, suffix) for file in files]
    for base, new in ((files[0], copies[1]), copies):  # one of two has its provenance, or none
        (question,) = gate(base, new).pairs
        assert question.verdict == "worse"
        assert question.line.endswith(f"lower is better (as {base.name} says)")


def test_a_row_of_a_csv_file_tells_directions_in_short_and_other_files_tell_them_once(tmp_path):
    name = "Crisp photo: 100 %|Hazy photo"
    tells = "Crisp%20photo%3A%20100%20%25|Hazy%20photo:+:0..1:"
    for suffix in (".csv", ".jsonl", ".parquet"):
        frame = read_by_pandas(ours(tmp_path / f"a{suffix}", record=QUESTION, name=name))
        assert ("scale" in frame) == (suffix == ".csv")
    cell = pandas.read_csv(tmp_path / "a.csv")["scale"][0]
    fingerprint = read_scores(tmp_path / "a.csv").columns[name].fingerprint
    assert cell == tells + fingerprint[:6] and len(fingerprint) == 16
    (column,) = read_scores(converted(tmp_path / "a.csv", ".csv")).columns.values()
    assert (column.name, column.bounds, column.lower_better) == (name, (0, 1), False)
    copies = [read_scores(converted(tmp_path / name)) for name in ("a.csv", "a.parquet")]
    assert [copy.columns[name].lower_better for copy in copies] == [False, False]  # pandas keeps attributes


def read_by_pandas(path):
    if path.suffix == ".jsonl":
        return pandas.read_json(path, lines=True)
    return pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)


def test_a_copy_that_lost_its_head_asks_for_the_direction(tmp_path, clipiqa):
    file = ours(tmp_path / "a.jsonl", name="judge")
    file.with_name("a.jsonl.provenance.json").unlink()
    clipiqa(f"rank {file} --by judge --worst 1", 2, "--lower-better or --higher-better")


def test_neither_names_nor_words_of_a_prompt_decide(two):
    base, new = two({**QUESTION, "questions": [["Sharp, low is good", "Blurry"]]}, "niqe")
    assert gate(base, new).pairs[0].verdict == "better"
    found = find_direction([read_scores(base)], "niqe", True)
    assert found.lower_better and str(found) == "lower is better (as the option says, unlike a.csv)"
    refused(gate, base, new, lower_better=["niqe"], higher_better=["niqe"])


def test_where_the_direction_is_lost_it_is_asked_for(two, clipiqa):
    files = two()
    base, new = (converted(file, ".csv", ["scale"]) for file in files)
    for command in (f"gate {base} {new}", f"rank {base} --worst 1"):
        clipiqa(command, 2, "--lower-better or --higher-better")
    clipiqa(f"gate {base} {new} --lower-better boss", 1, out="boss: worse")
    clipiqa(f"gate {base} {new} --higher-better boss", 1, out="boss: better")  # and one image is empty
    lowest = clipiqa(f"rank {base} --worst 1 --higher-better").out
    assert lowest != clipiqa(f"rank {base} --worst 1 --lower-better").out
    pandas.read_csv(files[0]).rename(columns={"boss": "chief"}).to_csv(base, index=False)
    refused(find_direction, [read_scores(base)], "chief")


LOW = ("NIQE", "lpips-alex", "x ↓", "RMSE", "psnr drop ↓")


def of_another_tool(path, name):
    frame = pandas.DataFrame({"image": [f"{n}.png" for n in range(9)], name: np.arange(9.0), "scale": 4})
    frame.to_csv(path, index=False)
    return path


def test_the_direction_of_other_tools_columns_is_known_by_their_names(tmp_path):
    for name in (*LOW, "ssim_y", "MS_SSIM", "clipiqa+_vitL14_512", "niqe ↑", "compiqa", "terror"):
        file = of_another_tool(tmp_path / "a.csv", name)
        direction = find_direction([read_scores(file, columns=[name])], name)
        assert direction.lower_better == (name in LOW)
        assert ("assumed" in direction.because) == (name in ("compiqa", "terror"))


@pytest.mark.parametrize(
    "name, known",
    [
        ("ssim_loss", "ssim"),
        ("mos_error", "mos"),
        ("psnr drop", "psnr"),
        ("error_free_rate", "error"),
        ("loss_reduction", "loss"),
        ("NIQE (v2)", "niqe"),
        ("inception_score loss", "inception_score"),
        ("ssimLoss", "ssim"),
        ("niqe.1", "niqe"),
    ],
)
@pytest.mark.slow
def test_where_another_word_stands_beside_a_known_name_the_direction_is_asked_for(name, known, tmp_path, clipiqa):
    """A falling ``ssim_loss`` is good: the known name alone does not tell."""
    file = of_another_tool(tmp_path / "a.csv", name)
    asked = f"gate {file} {file}"
    clipiqa(asked, 2, repr(name), repr(known), "--lower-better or --higher-better")
    assert "lower is better" in clipiqa(f"{asked} --lower-better '{name}'", 0).out
    clipiqa(f"rank {file} --by '{name}' --worst 1", 2, repr(known))
    assert repr("judge") in refused(read_file_metric, "judge", str(file), {"column": name})
    assert repr("psnr") in refused(
        read_file_metric, "psnr", str(file), {"column": name}
    )  # the label does not tell either
    assert read_file_metric("psnr", str(file), {"column": name, "lower_better": True}).columns[0].lower_better


def test_the_shipped_names_are_pyiqas():
    configs = pytest.importorskip("pyiqa.default_model_configs").DEFAULT_CONFIGS
    low = {name for name, config in configs.items() if config.get("lower_better")}
    assert (set(LOWER_BETTER.split()), set(HIGHER_BETTER.split())) == (low, configs.keys() - low)


AFFINE = {**HEAD, "head": {**FITTED, "sha256": "ef" * 32}}
WORDED = {**QUESTION, "questions": [["A photo of Good.", "A photo of Bad."]]}
UNLIKE = {  # what differs -> records of both runs, what else differs, and the values of both
    "'boss' head": (HEAD, AFFINE, {}, "ab" * 32, "ef" * 32),
    "'boss' questions": (
        QUESTION,
        WORDED,
        {},
        '[["Good photo.", "Bad photo."]]',
        '[["A photo of Good.", "A photo of Bad."]]',
    ),
    "weights_sha256": (QUESTION, QUESTION, {"weights_sha256": "12" * 32}, "cd" * 32, "12" * 32),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_not_compared(tmp_path, what):
    one, other, run, was, now = UNLIKE[what]
    base = ours(tmp_path / "a.csv", record=one)
    new = ours(tmp_path / "b.csv", record=other, **run)
    assert f"{what} is {was} in {str(base)!r} and {now} in {str(new)!r}" in refused(gate, base, new)
    refused(gate, converted(base), converted(new))


def test_runs_may_differ_in_fields_that_no_score_depends_on(tmp_path):
    same = {"device": "a GPU", "versions": {"torch": "3"}, "version": "2", "weights": "copy of it"}
    base = ours(tmp_path / "a.csv")
    new = ours(tmp_path / "b.csv", **same)
    assert all(gate(run, new).pairs[0].verdict == "no change" for run in (base, converted(base)))


def test_a_file_with_rows_of_several_runs_is_refused(tmp_path):
    files = [ours(tmp_path / "a.csv"), ours(tmp_path / "b.csv", precision="bf16")]
    pandas.concat(map(pandas.read_csv, files)).to_csv(tmp_path / "both.csv", index=False)
    refused(read_scores, tmp_path / "both.csv")
