"""Pictures show what they should: axes, marks and words are read back from the figures, pixels from the sheets."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import fake_comparison
import matplotlib
import numpy as np
import pandas
import pytest
from PIL import Image

from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.comparison.results import scatter
from clipiqa_pyiqa.report import plotting
from clipiqa_pyiqa.report.contact_sheet import FAINT, PAPER, contact_sheet, thumbnail
from clipiqa_pyiqa.results.columns import Column
from clipiqa_pyiqa.stats.correlation import fit_logistic

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def large():
    """1000 images, which are not on disk, and a lower-better metric with a label that looks like mathematics."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=1000)
    scores = pandas.DataFrame({"a$b_c$": np.exp(-quality + rng.normal(size=1000) / 2), "same": -quality})
    metrics = dict.fromkeys(["a$b_c$", "same"], MetricResult(Column("", {"lower_better": True})))
    return DataSetResult("large", scores, pandas.Series(3 + quality), metrics=metrics, bootstrap=0)


def test_a_plot_of_few_images_has_points_where_score_and_opinion_say(comparison):
    graded = comparison.data_sets[0]
    (axes,) = scatter(graded, "niqe").axes
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), np.stack([graded.scores["niqe"], graded.mos], axis=1))
    assert axes.get_xlabel() == "niqe score, lower is better"
    assert axes.get_ylabel() == "MOS, higher is better"
    assert fake_comparison.CONSTANT in scatter(graded, "flat").axes[0].get_title(loc="left")


def test_a_plot_of_many_images_has_pixels_and_the_logistic_fit(large):
    axes = scatter(large, "same").axes[0]
    (named, points), (line,) = axes.collections, axes.lines
    assert not named.get_rasterized() and len(named.get_offsets()) == 24
    assert points.get_rasterized() and len(points.get_offsets()) == 1000
    across, up = line.get_data()
    np.testing.assert_allclose(up, fit_logistic(large.scores["same"], large.mos)[0](across))
    assert across[0] == large.scores["same"].min() and across[-1] == large.scores["same"].max()


def test_svg_is_a_small_element_in_the_pages_colour_with_its_text_as_text(large):
    with matplotlib.rc_context({"text.color": "red", "text.usetex": True}):  # the user's state
        said = plotting.svg(scatter(large, "a$b_c$"))
    words = "".join(ElementTree.fromstring(said).itertext())
    assert "a$b_c$ score, lower is better" in words and "MOS, higher is better" in words
    assert "currentColor" in said and plotting.INK not in said and "#ff0000" not in said
    assert len(said) < 40_000
    assert "http" not in said.replace("http://www.w3.org/", "")


def test_a_contact_sheet_has_images_row_by_row_whole_and_not_enlarged(tmp_path):
    paths = fake_comparison.photos(tmp_path, 3)
    sheet = contact_sheet([*map(Path, paths), tmp_path / "missing.png"], ["x"] * 4, columns=2, side=64)
    gap = 4
    assert sheet.width == gap + 2 * (64 + gap)
    row = next(y for y in range(gap + 50, sheet.height) if sheet.getpixel((gap, y)) == (12, 100, 200)) - gap
    for number in range(3):
        x, y = gap + number % 2 * (64 + gap), gap + number // 2 * row
        picture = sheet.crop((x, y, x + 64, y + 48))
        assert picture.getcolors() == [(64 * 48, (number * 6, 100, 200))]
        assert sheet.getpixel((x, y + 48)) == PAPER
    assert sheet.getpixel((2 * gap + 64, gap + row)) == FAINT  # the field of the file that cannot be read
    assert len(sheet.crop((0, gap + 48, 64, gap + row)).getcolors() or []) > 1  # the caption


def test_thumbnails_are_upright_and_keep_their_shape(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 40)).save(tmp_path / "turned.jpg", exif=exif)
    assert thumbnail(tmp_path / "turned.jpg", 100).size == (40, 64)
