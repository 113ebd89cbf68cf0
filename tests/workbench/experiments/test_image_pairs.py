"""``clipiqa pairs``: what pairs up, what the table counts, and a folder that is known to be worse."""

import numpy as np
from assertions import refused
from matplotlib.text import Text
from metrics import Brightness
from photos import save_corrupt, save_grey

from clipiqa_pyiqa import pairs
from clipiqa_pyiqa.workbench.stats.mean_differences import mean_difference

# Matching


def test_by_path_without_suffix_or_by_wildcards(tmp_path):
    for low, high, name in [
        ("low", "high", "night/2"),
        ("*_real.JPG", "*_mean.JPG", "Canon_1"),
        ("*/blur/blur_*.png", "*/gt/gt_*.png", "scene1/3"),
    ]:
        files = ["low/night/2.jpg", "high/night/2.png", "Canon_1_real.JPG", "Canon_1_mean.JPG"]
        for path in (*files, "scene1/blur/blur_3.png", "scene1/gt/gt_3.png"):
            save_grey(tmp_path / path, 9)
        assert list(pairs(Brightness(), f"{tmp_path}/{low}", f"{tmp_path}/{high}").frame.index) == [name]


def test_images_that_do_not_pair_up_are_named(tmp_path, monkeypatch):
    for low, high, message in [
        ("low", "gone", "'gone'"),
        ("low", "more", "low lacks '3'; high lacks '2'"),
        ("twins", "low", "'twins/1.jpg' and 'twins/1.png'"),
    ]:
        monkeypatch.chdir(tmp_path)
        for name in ("low/1.png", "low/2.png", "more/1.png", "more/3.png", "twins/1.png", "twins/1.jpg"):
            save_grey(tmp_path / name, 9)
        assert message in refused(pairs, Brightness(), low, high)


def test_the_table_counts_pairs_and_tests_their_mean_difference(tmp_path):
    draw = np.random.default_rng(1).integers(30, 99, (30, 2))
    draw[3] = 60  # equal
    for n, (level, gain) in enumerate(draw.tolist()):
        save_grey(tmp_path / f"low/{n}.png", level)
        save_grey(tmp_path / f"high/{n}.png", level + gain - 60)
    result = pairs(Brightness(), tmp_path / "low", tmp_path / "high")
    low = result.frame["quality low"].to_numpy()
    high = result.frame["quality high"].to_numpy()
    row = result.summary().iloc[0]
    assert row["right"] == np.count_nonzero(high > low)
    assert row["equal"] == 1
    assert row["pairs"] == 30
    difference = mean_difference(high, low)
    expected = [difference.value, difference.low, difference.p]
    assert [row["mean difference"], row["mean difference low"], row["p"]] == expected
    captions = [text.get_text().split("\n")[0] for text in result.sheet("quality").findobj(Text)]
    worst = result.frame["quality difference"].nsmallest(min(10, 30 - row["right"])).index
    assert [name for name in captions if name in worst][::2] == list(worst)  # both versions have captions


def test_a_sheet_says_how_many_pairs_it_shows_of_how_many(tmp_path):
    """Of 19 pairs, 12 are in the wrong order, 5 are equal and 2 are right."""
    for number, gain in enumerate([-20] * 12 + [0] * 5 + [20] * 2):
        save_grey(tmp_path / f"low/{number}.png", 100)
        save_grey(tmp_path / f"high/{number}.png", 100 + gain)
    sheet = pairs(Brightness(), tmp_path / "low", tmp_path / "high").sheet("quality")
    texts = [text.get_text() for text in sheet.findobj(Text)]
    assert [text for text in texts if text.startswith("quality: ")] == [
        "quality: the 10 worst of 12 pairs in the wrong order",
        "quality: the 4 first of 5 pairs with equal scores",
        "quality: 2 pairs in the right order",
    ]
    assert sum("\nlow: " in text for text in texts) == 10 + 4 + 2


def test_each_file_is_encoded_once_and_a_corrupt_one_takes_its_pair_along(tmp_path):
    for n, level in enumerate((51, 102, 153)):
        save_grey(tmp_path / f"low/{n}.png", level)
        save_grey(tmp_path / f"high/{n}.png", level + 51)
    save_corrupt(tmp_path / "high/1.png")
    metric = Brightness()
    frame = pairs(metric, tmp_path / "low", tmp_path / "high", ["brightness", "happy"]).frame
    assert sum(batch[0] for batch in metric.batches) == 5
    assert list(frame.index) == ["0", "2"]
    assert frame.loc["2", "low"] == f"{tmp_path}/low/2.png"
    np.testing.assert_allclose(frame[["brightness difference", "happy difference"]], [[0.2, 0.1]] * 2, atol=1e-6)
    refused(pairs, metric, f"{tmp_path}/low/1*", f"{tmp_path}/high/1*")


def test_images_without_a_partner_are_left_out_when_asked(tmp_path):
    for name in ("low/1.png", "high/1.png", "high/2.png"):
        save_grey(tmp_path / name, 9)
    result = pairs(Brightness(), tmp_path / "low", tmp_path / "high", skip_missing=True)
    assert result.missing == {"low": ["2"]}
    assert result.notes() == ["left out: low lacks '2'"]
