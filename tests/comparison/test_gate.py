"""``clipiqa gate``: verdicts, how rows find each other, bad input, and what CI reads."""

import numpy as np
import pandas
import pytest

from clipiqa_pyiqa.comparison.gating import gate
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.results.scores import matching_names, read_scores

pytestmark = pytest.mark.quick


def run(path, values, folder="out", name="quality", **more):
    """A score file of another tool: image, and one column or several."""
    images = [f"{folder}/{number // 10}/{number}.png" for number in range(len(values))]
    pandas.DataFrame({"Image Name": images, name: values, **more}).to_csv(path, index=False)
    return path


@pytest.fixture
def scores():
    return np.random.default_rng(0).uniform(0.3, 0.7, 40)


def test_columns_are_worse_better_or_without_change(tmp_path, scores):
    noise = np.random.default_rng(1).normal(0, 0.01, 40)
    base = run(tmp_path / "base.csv", scores, "a/v1", same=scores, up=scores, niqe=scores)
    changed = {"same": scores + noise / 100, "up": scores + 0.1, "niqe": scores + 0.1}
    new = run(tmp_path / "new.csv", scores - 0.03 + noise, "/b/v2", **changed)
    found = gate(base, new)
    assert list(found.columns["verdict"]) == ["worse", "no change", "better", "worse"]  # pyiqa knows niqe
    worse = found.pairs[0]
    assert worse.difference == pytest.approx(np.mean(noise) - 0.03) and worse.n == 40
    assert found.rows["quality difference"].mean() == pytest.approx(worse.difference)
    assert worse.low < worse.difference < worse.high < 0
    assert found.worst("quality", 1).index[0] == f"{np.argmin(noise) // 10}/{np.argmin(noise)}"
    found = gate(base, new, lower_better=["up"], higher_better=["niqe"])
    assert list(found.columns["verdict"]) == ["worse", "no change", "worse", "better"]


def test_rows_match_by_a_key_column(tmp_path, scores):
    prompts = [f"prompt {n}" for n in range(40)]
    base = run(tmp_path / "a.csv", scores, prompt=prompts)
    new = pandas.read_csv(base).sample(frac=1, random_state=2)
    new.assign(**{"Image Name": [f"other{n}" for n in range(40)]}).to_csv(tmp_path / "b.csv", index=False)
    found = gate(base, tmp_path / "b.csv", key="prompt")
    assert found.pairs[0].difference == 0 and found.passed and list(found.rows.index) == prompts


def test_names_match_below_common_folders_without_suffix_if_that_tells_them_apart():
    assert matching_names(["/a/b/1.png", "/a/c/2.png"], ["b/1.jpg", "c/2.jpg"]) == [["b/1", "c/2"]] * 2
    assert matching_names(["1.png", "1.jpg"], ["b/1.png"])[0] == ["1.png", "1.jpg"]


def test_no_cell_of_the_rows_is_a_formula(tmp_path, scores):
    names = [f"{start}{n}" for n, start in enumerate("=+-@" * 10)]
    file = run(tmp_path / "a.csv", scores, name="=1+1", prompt=names)
    gate(file, file, key="prompt").save(tmp_path / "gate")
    cells = pandas.read_csv(tmp_path / "gate/rows.csv", dtype=str)
    assert list(cells["row"]) == [f"'{name}" for name in names] and cells.columns[1] == "'=1+1 base"


@pytest.mark.parametrize(
    ("change", "noun"),
    [
        (lambda f: f.assign(**{"Image Name": [f"q{n}" for n in range(40)]}), "row"),
        (lambda f: f.rename(columns={"quality": "other"}), "none"),
        (lambda f: f.assign(extra=1.0), "'extra'"),
        (lambda f: f.head(39), "'3/39'"),
        (lambda f: pandas.concat([f, f.head(1)]), "'0/0'"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, scores, change, noun):
    base = run(tmp_path / "a.csv", scores)
    change(pandas.read_csv(base)).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(CLIPIQAError, match=noun):
        gate(base, tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("options", "noun"),
    [
        ({"by": ["qualty"]}, "'quality'"),
        ({"key": "nokey"}, "`key`"),
        ({"lower_better": ["x"]}, "lower_better"),
        ({"margin": 0.0}, "margin"),
        ({"metrics": object()}, "metrics"),
    ],
)
def test_options_that_do_not_fit_the_runs_are_refused(tmp_path, scores, options, noun):
    base = run(tmp_path / "a.csv", scores)
    with pytest.raises(CLIPIQAError, match=noun):
        gate(base, base, **options)


@pytest.mark.parametrize(
    ("name", "content"), [("none.csv", None), ("a.txt", "x"), ("a.csv", "a,b\n1,2\n"), ("a.csv", "image,b\nx,y\n")]
)
def test_files_without_scores_are_refused(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CLIPIQAError, match=name):
        read_scores(tmp_path / name)
