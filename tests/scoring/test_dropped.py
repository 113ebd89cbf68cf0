"""A run that nobody finishes says so."""

import pytest
from photos import save_grey
from standin import Brightness
from stored import read_results

from clipiqa_pyiqa import score_paths

pytestmark = pytest.mark.quick


def test_a_run_with_results_is_finished_or_says_that_it_was_dropped(tmp_path, caplog):
    for number in range(2):
        save_grey(tmp_path / f"p/{number}.png", 90)
    out = tmp_path / "s.csv"
    score_paths(Brightness(), tmp_path / "p", out=out)
    assert caplog.text.count("run()") == 1 and not out.exists()
    caplog.clear()
    score_paths(Brightness(), tmp_path / "p", out=out, overwrite=True).run()
    assert len(read_results(out)[1]) == 2
    with score_paths(Brightness(), tmp_path / "p", out=out, overwrite=True) as run:
        next(run)
    score_paths(Brightness(), tmp_path / "p")
    assert not caplog.text
