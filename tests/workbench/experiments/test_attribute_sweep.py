"""``clipiqa sweep``: pictures changed in steps, each version scored once, and correlations against scipy's."""

from pathlib import Path

import numpy as np
import pytest
from photos import BUNDLED, photos, save_corrupt, save_exposures, save_grey
from refusal import refused
from standin import Brightness

from clipiqa_pyiqa import ImageError, sweep
from clipiqa_pyiqa.workbench.experiments.changes import CHANGES

# Changes


def test_the_plain_amount_is_a_step_and_changes_nothing():
    photo = photos()["canyon-wren"]
    for change in CHANGES.values():
        assert change.plain in change.amounts(steps=9)
        np.testing.assert_array_equal(change.apply(photo, change.plain), photo)


@pytest.fixture
def grey_steps(tmp_path):
    """Grey images, dark enough that no step saturates."""
    return [save_grey(tmp_path / f"{level}.png", level) for level in (50, 100)]


# Sweep


def test_each_version_is_encoded_once(grey_steps):
    metric = Brightness()
    result = sweep(metric, grey_steps, scales=(1, 2), steps=5)
    assert sum(batch[0] for batch in metric.batches) == 2 * 2 * 21  # unchanged once, not five times
    assert {batch[2:] for batch in metric.batches} == {(40, 48), (80, 96)}
    assert len(result.frame) == 2 * 2 * 5 * 5
    assert result.questions == tuple(CHANGES)


def test_scores_are_those_of_the_changed_pixels(grey_steps):
    frame = sweep(Brightness(), grey_steps, changes=["brightness"], scales=(1,)).frame
    levels = np.array([int(Path(path).stem) for path in frame["path"]])
    np.testing.assert_allclose(frame["brightness"], levels * frame["amount"] / 255, atol=1 / 255)


def test_spearman_is_pandas(tmp_path):
    paths = [files[2] for files in save_exposures(tmp_path).values()]
    result = sweep(Brightness(), paths, scales=(1,))
    questions = list(result.questions)
    versions = result.frame.groupby(["path", "change"], sort=False)[["step", *questions]]
    expected = versions.corr("spearman").xs("step", level=2)[questions]
    np.testing.assert_allclose(result.spearman()[questions], expected)
    brightness = result.summary().set_index("change").loc["brightness"]
    assert brightness["mean Spearman"] == brightness["lowest"] == 1
    assert brightness["first step"] < 0.3 * brightness["last step"]


def test_a_score_that_never_changes_has_no_correlation(grey_steps):
    row = sweep(Brightness(), grey_steps, changes=["colorfulness"], scales=(1,)).summary().iloc[0]
    assert (row["images"], row["constant"]) == (0, 2)
    assert np.isnan(row["mean Spearman"])


def test_a_corrupt_picture_is_left_out(grey_steps, tmp_path):
    corrupt = save_corrupt(tmp_path / "half.png")
    result = sweep(Brightness(), [corrupt, *grey_steps], scales=(1,), steps=3)
    assert list(result.failed) == [str(corrupt)]
    assert result.frame["path"].nunique() == 2


def test_a_reason_is_said_once_for_all_versions_of_a_corrupt_picture(tmp_path):
    corrupt = save_corrupt(tmp_path / "half.png")
    with pytest.raises(ImageError) as caught:
        sweep(Brightness(), [corrupt], steps=3)
    assert str(caught.value).count("half.png") == 1


def test_bad_options(grey_steps):
    for options in ({"changes": ["brightnes"]}, {"changes": []}, {"steps": 2}, {"scales": (0,)}, {"scales": (9,)}):
        refused(sweep, Brightness(), grey_steps, **options)


def test_mini_follows_every_attribute(clipiqa):
    printed = clipiqa(f"sweep '{BUNDLED}' --backbone mini --max-side 128 --scales 1 --steps 4", 0).out
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows] == list(CHANGES)
    for row in rows:
        assert float(row[4]) >= 0.8  # the mean of Spearman's correlations
