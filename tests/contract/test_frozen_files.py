"""Result files of earlier versions are resumed, on any machine: nothing is scored again, and all scores are kept.

``tests/helpers/frozen_files.py`` says how the files in ``tests/contract/frozen`` were made. Tests of the first edition
are slow ones, as the second is read in the same way.
"""

import json
import os
from functools import partial
from importlib.metadata import version

import pandas as pd
import pytest
from frozen_files import (
    COMMANDS,
    COMMANDS_OF_INTERRUPTED,
    FIRST,
    INTERRUPTED,
    MOMENT,
    NAMED,
    NAMED_BY_PYIQA,
    SCORES_OF_FOLDERS,
    SECOND,
    copy_results,
    fill_cache,
    make_inputs,
    move_images,
)
from pandas.testing import assert_frame_equal
from pyiqa.models.inference_model import InferenceModel

from clipiqa_pyiqa import CLIPIQA

READERS = {".csv": pd.read_csv, ".jsonl": partial(pd.read_json, lines=True), ".parquet": pd.read_parquet}
FILES = [name for name in COMMANDS if name not in SCORES_OF_FOLDERS]
WITHOUT_FAILURES = ("shards.jsonl", "shards.parquet")
"""Files of images that can all be scored; of the folder ``photos``, two cannot."""
CLOSE = 1e-4
"""The most between scores of an image on two machines, which may round sums otherwise."""


@pytest.fixture(params=[pytest.param(FIRST, marks=pytest.mark.slow), SECOND], ids=["first", "second"])
def frozen(request):
    """The folder of an edition."""
    return request.param


@pytest.fixture
def inputs(tmp_path):
    """The working folder, with the inputs that the frozen files name."""
    make_inputs(tmp_path)
    return tmp_path


@pytest.fixture
def encoded(monkeypatch):
    """The number of images in each call that encodes images for CLIP-IQA."""
    encode = CLIPIQA.encode_image
    counts = []

    def counting(net, images):
        counts.append(len(images))
        return encode(net, images)

    monkeypatch.setattr(CLIPIQA, "encode_image", counting)
    return counts


@pytest.fixture
def resume(clipiqa):
    """Runs the command line of a frozen file again, and demands the exit code that it had."""

    def run(name, command=""):
        has_failures = name not in (*WITHOUT_FAILURES, *SCORES_OF_FOLDERS)
        return clipiqa(f"{command or COMMANDS[name]} --out {name} --resume --device cpu", int(has_failures))

    return run


def read(path):
    """Return the rows of a result file in the order of their names."""
    return READERS[path.suffix](path).set_index("path").sort_index()


def score_columns(rows):
    """Return the names of the columns before the facts of images."""
    return list(rows)[: list(rows).index("width")]


def touch(path):
    """Let an image or a shard look changed."""
    os.utime(path, ns=(MOMENT, MOMENT + 10**9))


# Finished files


@pytest.mark.parametrize("name", FILES)
def test_a_finished_file_keeps_all_scores_and_nothing_is_scored(name, inputs, encoded, resume, frozen):
    copy_results(frozen, inputs, name)
    resume(name)
    assert_frame_equal(read(inputs / name), read(frozen / name))
    assert not encoded


@pytest.mark.quick
@pytest.mark.parametrize(
    "name, changed, count", [("several.csv", "photos/canyon-wren.jpg", 1), ("shards.parquet", "shards/photos.tar", 2)]
)
def test_only_changed_images_are_scored_again(name, changed, count, inputs, encoded, resume, frozen):
    """This also shows that the calls which encode images are counted."""
    copy_results(frozen, inputs, name)
    touch(inputs / changed)
    resume(name)
    assert sum(encoded) == count
    rows = read(inputs / name)
    before = read(frozen / name)
    others = ~before.index.str.startswith(changed)
    assert others.sum() == len(before) - count
    kept = rows.columns.drop(["metric", "scale"], errors="ignore")  # these are written in another way than they were
    assert_frame_equal(rows.loc[others, kept], before.loc[others, kept])
    columns = score_columns(before)
    assert_frame_equal(rows[columns], before[columns], rtol=0, atol=CLOSE)
    assert (rows["stamp"] != before["stamp"]).sum() == count


def test_scores_that_another_tool_gives_now_replace_those_in_the_file(inputs, encoded, resume, frozen):
    copy_results(frozen, inputs, "several.csv")
    judge = inputs / "judge.csv"
    judge.write_text(judge.read_text().replace("1.25", "9.75"))
    resume("several.csv")
    rows = read(inputs / "several.csv")
    before = read(frozen / "several.csv")
    assert rows["judge"].replace(9.75, 1.25).equals(before["judge"]) and 9.75 in rows["judge"].values
    assert rows[["mini", "sharp", "taste", "head"]].equals(before[["mini", "sharp", "taste", "head"]])
    assert not encoded


@pytest.mark.parametrize("name", ["one.csv", "one.jsonl", "one.parquet"])
def test_a_metric_is_added_to_a_finished_file(name, inputs, encoded, resume, frozen):
    copy_results(frozen, inputs, name)
    resume(name, COMMANDS["several.csv"])
    assert sum(encoded) == 3  # of the two photos and the shade; the others cannot be scored
    rows = read(inputs / name)
    before = read(frozen / "several.csv")
    assert rows["mini"].equals(read(frozen / name)["mini"])
    assert_frame_equal(rows[score_columns(before)], before[score_columns(before)], rtol=0, atol=CLOSE)


# Files of pyiqa's metrics

SAME_PYIQA = pytest.mark.skipif(
    version("pyiqa") != NAMED_BY_PYIQA, reason=f"the frozen scores are those of pyiqa {NAMED_BY_PYIQA}"
)


@pytest.fixture
def called(monkeypatch, inputs):
    """The name of the metric of each call of a metric of pyiqa, whose parameters are those of the frozen files."""
    (inputs / "cache").mkdir()
    fill_cache(inputs / "cache")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(inputs / "cache"))
    forward = InferenceModel.forward
    names = []

    def counting(metric, *images, **options):
        names.append(metric.metric_name)
        return forward(metric, *images, **options)

    monkeypatch.setattr(InferenceModel, "forward", counting)
    return names


@SAME_PYIQA
def test_scores_of_pyiqas_metrics_are_kept(inputs, encoded, called, clipiqa, frozen):
    copy_results(frozen, inputs, "named.csv")
    ran = clipiqa(f"{NAMED} --out named.csv --resume --device cpu", 0)
    assert_frame_equal(read(inputs / "named.csv"), read(frozen / "named.csv"))
    assert not called and not encoded and "scores all images again" not in ran.err
    touch(inputs / "photos/canyon-wren.jpg")
    clipiqa(f"{NAMED} --out named.csv --resume --device cpu", 0)
    assert sorted(called) == ["cnniqa", "entropy", "niqe"] and sum(encoded) == 1


@SAME_PYIQA
@pytest.mark.slow
def test_scores_whose_parameters_are_not_told_are_made_again_with_a_line_that_says_why(
    inputs, encoded, called, clipiqa
):
    name = "without_parameters.csv"
    copy_results(FIRST, inputs, name)
    ran = clipiqa(f"{NAMED} --out {name} --resume --device cpu", 0)
    lines = [line for line in ran.err.splitlines() if "scores all images again" in line]
    assert ["parameters" in line for line in lines] == [True, True] and "niqe" in lines[0] and "cnniqa" in lines[1]
    assert sorted(called) == ["cnniqa", "cnniqa", "niqe", "niqe"] and not encoded
    rows = read(inputs / name)
    before = read(FIRST / name)
    assert rows[["mini", "entropy"]].equals(before[["mini", "entropy"]])
    assert_frame_equal(rows[["niqe", "cnniqa"]], before[["niqe", "cnniqa"]], rtol=CLOSE)
    called.clear()
    clipiqa(f"{NAMED} --out {name} --resume --device cpu", 0)
    assert not called


# Interrupted runs


def journal_rows(frozen, name):
    """Return the rows in the journal of an interrupted run, the newest of each image."""
    lines = (frozen / f"interrupted/{name}.part.jsonl").read_text("utf-8").splitlines()
    cells = [json.loads(line)[1] for line in lines]
    return {row["path"]: row for row in cells[1:]}


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("name, count", [("one.csv", 1), ("several.parquet", 1), ("shards.csv", 5), ("added.csv", 1)])
def test_an_interrupted_run_goes_on_where_it_ended(name, count, is_cut, inputs, encoded, resume, frozen):
    assert name in INTERRUPTED
    copy_results(frozen / "interrupted", inputs, name)
    journal = inputs / f"{name}.part.jsonl"
    if is_cut:  # by a kill, within a line
        journal.write_bytes(journal.read_bytes() + b'["1234abcd", {"path": "photos/can')
    resume(name, COMMANDS_OF_INTERRUPTED[name])
    assert sum(encoded) == count and not journal.exists()
    rows = read(inputs / name)
    finished = read(frozen / ("several.csv" if name == "added.csv" else name))
    columns = score_columns(finished)
    assert_frame_equal(rows[columns], finished[columns], rtol=0, atol=CLOSE)
    for path, cells in journal_rows(frozen, name).items():
        for column in cells.keys() & columns:
            assert cells[column] in ("", None) or rows.loc[path, column] == float(cells[column])


# Folders of results


@pytest.fixture
def folders(inputs, frozen):
    """The working folder, with the frozen folders of results."""
    for name in SCORES_OF_FOLDERS:
        copy_results(frozen, inputs, name)
    move_images(inputs / "compare/scores/mine.parquet", inputs)
    return inputs


@pytest.mark.parametrize("name", SCORES_OF_FOLDERS)
def test_a_folder_of_results_keeps_all_scores_and_nothing_is_scored(name, folders, encoded, resume):
    scores = folders / name / SCORES_OF_FOLDERS[name][0]
    before = read(scores)
    resume(name)
    without_scale = [frame.drop(columns="scale", errors="ignore") for frame in (read(scores), before)]
    assert_frame_equal(*without_scale)
    assert not encoded


@pytest.mark.parametrize("name, changed", {"compare": "photos/canyon-wren.jpg", "table": "pictures/two/1.ppm"}.items())
def test_a_changed_image_of_a_folder_of_results_is_scored_again(name, changed, folders, encoded, resume):
    touch(folders / changed)
    resume(name)
    assert sum(encoded) == 1
