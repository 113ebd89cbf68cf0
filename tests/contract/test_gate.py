"""``clipiqa gate``: verdicts, how rows find each other, bad input, and what CI reads."""

import numpy as np
import pandas
import pytest
from assertions import refused

from clipiqa_pyiqa import gate

pytestmark = pytest.mark.quick

SCORES = np.random.default_rng(0).uniform(0.3, 0.7, 40)


def test_columns_are_worse_better_or_without_change(runs):
    noise = np.random.default_rng(1).normal(0, 0.01, 40)
    changed = {"q": SCORES - 0.03 + noise, "same": SCORES + noise / 100, "up": SCORES + 0.1, "niqe": SCORES + 0.1}
    files = runs(**{name: (SCORES, now) for name, now in changed.items()})
    found = gate(*files)
    assert list(found.columns["verdict"]) == ["worse", "no change", "better", "worse"]  # pyiqa knows niqe
    worse = found.pairs[0]
    assert worse.difference == pytest.approx(np.mean(noise) - 0.03) and worse.n == 40
    assert found.rows["q difference"].mean() == pytest.approx(worse.difference)
    assert worse.low < worse.difference < worse.high < 0
    assert found.worst("q", 1).index[0] == str(np.argmin(noise))
    found = gate(*files, lower_better=["up"], higher_better=["niqe"])
    assert list(found.columns["verdict"]) == ["worse", "no change", "worse", "better"]


def test_rows_match_by_a_key_column_and_no_cell_is_a_formula(runs, tmp_path):
    prompts = [f"{start}{n}" for n, start in enumerate("=+-@" * 10)]
    base, new = runs(**{"=1+1": (SCORES, SCORES), "prompt": (prompts, prompts)})
    pandas.read_csv(new).assign(image=range(40, 80)).sample(frac=1, random_state=2).to_csv(new, index=False)
    found = gate(base, new, by=["=1+1"] * 2, key="prompt")
    assert found.pairs[0].difference == 0 and found.has_passed and list(found.rows.index) == prompts
    found.save(tmp_path / "gate")
    cells = pandas.read_csv(tmp_path / "gate/rows.csv", dtype=str)
    assert list(cells["row"]) == [f"'{name}" for name in prompts] and cells.columns[1] == "'=1+1 base"


def test_runs_that_cannot_be_compared_and_options_that_do_not_fit_are_refused(runs):
    for change, options, noun in [
        (lambda new: new.assign(image=[f"q{n}" for n in range(40)]), {}, "suffix"),
        (lambda new: new.replace({"image": {39: ""}}), {}, "'image'"),
        (lambda new: new.rename(columns={"q": "other"}), {}, "none"),
        (lambda new: new.assign(extra=1.0), {}, "'extra'"),
        (lambda new: pandas.concat([new, new.head(1)]), {}, "'0'"),
        (None, {"by": ["qq"]}, "'q'"),
        (None, {"key": "nokey"}, "`key`"),
        (None, {"lower_better": ["x"]}, "lower_better"),
        (None, {"margin": 0.0}, "margin"),
        (None, {"metrics": object()}, "metrics"),
        (None, {"allow_missing": "5 images"}, "allow_missing"),
        (None, {"allow_missing": "101%"}, "allow_missing"),
        (None, {"allow_flag": ["cutt"]}, "'cut'"),
    ]:
        base, new = runs(q=(SCORES, SCORES))
        if change:
            change(pandas.read_csv(new)).to_csv(new, index=False)
        assert noun in refused(gate, base, new, **options)
