"""``clipiqa sweep``: pictures changed in steps, each version scored once, and correlations against scipy's."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from assertions import refused
from metrics import Brightness
from photos import BUNDLED, photos, save_corrupt, save_exposures, save_grey
from PIL import Image

from clipiqa_pyiqa import ImageError, sweep
from clipiqa_pyiqa.workbench.experiments import duration
from clipiqa_pyiqa.workbench.experiments.changes import CHANGES
from clipiqa_pyiqa.workbench.experiments.strip import typical_photo

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


@pytest.mark.slow
def test_mini_follows_every_attribute(clipiqa):
    printed = clipiqa(f"sweep '{BUNDLED}' --backbone mini --max-side 128 --scales 1 --steps 4", 0).out
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows] == list(CHANGES)
    for row in rows:
        assert float(row[4]) >= 0.8  # the mean of Spearman's correlations


# Fig. 4


@pytest.fixture
def koniq(tmp_path):
    """KonIQ-10k as pyiqa expects it, of ten images of noise: six for the test."""
    root = tmp_path / "datasets"
    images = root / "koniq10k/1024x768"
    images.mkdir(parents=True)
    rows = []
    for number in range(10):
        Image.effect_noise((48, 40), 20 + 5 * number).convert("RGB").save(images / f"{number}.png")
        rows.append((f"{number}.png", 50, "train" if number < 4 else "test"))
    (root / "meta_info").mkdir()
    table = root / "meta_info/meta_info_KonIQ10kDataset.csv"
    pandas.DataFrame(rows, columns=["name", "mos", "official_split"]).to_csv(table, index=False)
    return root


def test_the_legend_names_the_curves_of_all_panels(grey_steps):
    changes = ["brightness", "contrast"]
    result = sweep(Brightness(), grey_steps, prompts=["brightness", "happy"], changes=changes, scales=(1, 2), steps=3)
    figure = result.curves()
    named = {line.get_label(): line.get_color() for line in figure.legends[0].get_lines()}
    drawn = [(line.get_label(), line.get_color()) for axes in figure.axes for line in axes.get_lines()]
    assert set(drawn) == set(named.items())
    assert len(named) == len(set(named.values())) == 2 * 2  # questions and scales
    assert len(drawn) == 2 + 2 * 2  # brightness has a panel of its own


def test_data_sets_and_paths_are_told_apart(clipiqa, koniq, grey_steps):
    clipiqa("sweep nowhere/a.png", 2, "'nowhere/a.png' does not exist")
    clipiqa("sweep nowhere", 2, "'nowhere' does not exist")
    names = "path,mos\n" + "".join(f"{path},{place}\n" for place, path in enumerate(grey_steps))
    Path("scores.csv").write_text(names)
    result = sweep(Brightness(), ["scores.csv", *grey_steps], changes=["brightness"], scales=(1,), steps=3)
    assert result.frame["path"].unique().tolist() == [str(path) for path in grey_steps]


def test_the_strip_has_the_scores_of_the_typical_photo(grey_steps):
    correlations = pandas.Series({"a": 0.9, "b": np.nan, "c": -1.0, "d": 0.3, "e": 0.4})
    assert typical_photo(correlations) == "d"
    assert typical_photo(pandas.Series({"a": np.nan, "b": np.nan})) == "a"
    result = sweep(Brightness(), grey_steps, changes=["brightness", "contrast"], scales=(1,), steps=9)
    texts = [text.get_text() for text in result.strip().texts]
    rows = result.frame.query("change == 'brightness' and path == @grey_steps[0].__str__()")
    for step in (0, 2, 4, 6, 8):
        row = rows.iloc[step]
        assert f"{row['amount']:g}\nscore {row['brightness']:.3f}" in texts
    assert sum(text.startswith("contrast: factor") for text in texts) == 1


def test_many_scores_are_announced_with_their_time(clipiqa, grey_steps, monkeypatch):
    line = f"sweep {grey_steps[0]} {grey_steps[1]} -b mini --scales 1 --steps 3 --changes brightness"
    assert "about" not in clipiqa(line, 0).err
    monkeypatch.setattr(duration, "MANY", 6)
    told = clipiqa(line, 0).err
    assert "6 images are to be scored: about 1 second, at the speed of 1 of them" in told
    words = [duration.words_of_seconds(seconds) for seconds in (0.1, 80, 150, 40 * 3600, 10 * 86400)]
    assert words == ["1 second", "80 seconds", "2 minutes", "40 hours", "10 days"]
