"""What a metric of pyiqa reads from files by itself is a part of its record: other parameters are another metric."""

import shutil

import numpy as np
import pandas
import pytest
import scipy.io
from assertions import refused
from photos import BUNDLED

from clipiqa_pyiqa import score_paths

NIQE = "niqe_modelparameters.mat"

OPTIONS = {"device": "cpu", "workers": 1}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder where pyiqa looks for the files that its metrics load by default."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    for name in ("canyon-wren.jpg", "blue-periwinkle.jpg"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(BUNDLED / name, tmp_path / "photos")
    return folder


def save_niqe(path, mean=2.0):
    scipy.io.savemat(path, {"mu_prisparam": np.full((1, 36), mean), "cov_prisparam": np.eye(36)})


def test_scores_are_kept_while_the_file_is_missing(cache, caplog):
    save_niqe(cache / NIQE)
    score_paths(["niqe", "entropy"], "photos", out="s.csv", **OPTIONS).run()
    before = pandas.read_csv("s.csv")
    parameters_file = (cache / NIQE).rename(cache / "elsewhere.mat")
    shutil.copy(BUNDLED / "canyon-wren.jpg", "photos/more.jpg")
    score_paths(["niqe", "entropy"], "photos", out="s.csv", resume=True, **OPTIONS).run()
    again = pandas.read_csv("s.csv")
    pandas.testing.assert_series_equal(again["niqe"][:2], before["niqe"])
    assert np.isnan(again["niqe"][2]) and "cannot be built" in again["error"][2]
    parameters_file.rename(cache / NIQE)
    score_paths(["niqe", "entropy"], "photos", out="s.csv", resume=True, **OPTIONS).run()
    assert pandas.read_csv("s.csv")["niqe"].notna().all()


def test_a_run_continues_with_the_copy_of_a_file_that_a_broken_metric_asks_for(cache, caplog):
    score_paths(["niqe", "entropy"], "photos", out="s.csv", **OPTIONS).run()
    assert "name a copy (NAME:pretrained_model_path=FILE)" in caplog.text
    assert pandas.read_csv("s.csv")["niqe"].isna().all()
    save_niqe("copy.mat")
    niqe = "niqe:pretrained_model_path=copy.mat"
    run = score_paths([niqe, "entropy"], "photos", out="s.csv", resume=True, **OPTIONS)
    assert [row.asked for row in run] == [(True, False)] * 2
    assert pandas.read_csv("s.csv")["niqe"].notna().all() and "does not tell the parameters" not in caplog.text
    save_niqe("copy.mat", 2.5)
    assert "'niqe' parameters" in refused(score_paths, [niqe, "entropy"], "photos", out="s.csv", resume=True, **OPTIONS)
