"""Pictures show what they should: axes, marks and words are read back from the figures, pixels from the sheets."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import fake_comparison
import numpy as np
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from clipiqa_pyiqa.comparison import pictures
from clipiqa_pyiqa.comparison.data_set_results import DataSetResult, MetricResult
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.report import plotting
from clipiqa_pyiqa.report.contact_sheet import FAINT, PAPER, contact_sheet, fitted, thumbnail
from clipiqa_pyiqa.stats.logistic import fit_logistic


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> DataSetResult:
    return fake_comparison.graded(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def large() -> DataSetResult:
    """3000 images, which are not on disk, and a lower-better metric with a label that looks like mathematics."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=3000)
    scores = pandas.DataFrame({"a$b_c$": np.exp(-quality + rng.normal(size=3000) / 2), "same": -quality})
    metrics = {"a$b_c$": MetricResult("a$b_c$", lower_better=True), "same": MetricResult("same", lower_better=True)}
    return DataSetResult("large", scores, pandas.Series(3 + quality), metrics=metrics, bootstrap=20)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


class TestScatter:
    def test_few_images_are_points_where_score_and_opinion_say(self, graded: DataSetResult) -> None:
        figure = pictures.scatter(graded, "niqe")
        (axes,) = figure.axes
        (points,) = axes.collections
        assert graded.mos is not None
        expected = np.stack([graded.scores["niqe"], graded.mos], axis=1)
        np.testing.assert_array_equal(np.asarray(points.get_offsets()), expected)
        assert axes.get_xlabel() == "niqe score, lower is better"
        assert axes.get_ylabel() == "MOS, higher is better"

    def test_many_images_are_pixels_in_a_vector_picture(self, large: DataSetResult) -> None:
        (points,) = pictures.scatter(large, "a$b_c$").axes[0].collections
        assert points.get_rasterized() and len(np.asarray(points.get_offsets())) == 3000

    def test_the_curve_is_the_logistic_fit(self, large: DataSetResult) -> None:
        (line,) = pictures.scatter(large, "same").axes[0].lines
        across, up = (np.asarray(values, float) for values in line.get_data())
        np.testing.assert_allclose(up, fit_logistic(large.scores["same"], large.mos)(across))
        assert across[0] == large.scores["same"].min() and across[-1] == large.scores["same"].max()

    def test_an_undefined_correlation_is_said_in_words(self, graded: DataSetResult) -> None:
        axes = pictures.scatter(graded, "flat").axes[0]
        assert axes.get_title(loc="left") == f"flat\nno correlation: {fake_comparison.CONSTANT}"
        assert not axes.lines

    def test_nothing_to_draw(self, graded: DataSetResult, tmp_path: Path) -> None:
        with pytest.raises(CLIPIQAError, match="'piqe' has no scores on 'graded': The weights"):
            pictures.scatter(graded, "piqe")
        with pytest.raises(CLIPIQAError, match="'holiday' has no opinion scores"):
            pictures.scatter(fake_comparison.folder_only(tmp_path), "sharp")


class TestBars:
    def test_a_bar_with_its_interval_per_correlation_best_on_top(self, graded: DataSetResult) -> None:
        (axes,) = pictures.bars([graded]).axes
        found = graded.estimates
        order = [label.get_text() for label in axes.get_yticklabels()]
        assert order[::-1][:2] == ["niqe", "sharp"] and set(order[:2]) == {"flat", "piqe"}  # from the bottom
        widths = [bar.get_width() for bar in axes.patches if np.isfinite(bar.get_width())]
        assert widths == [found[label]["SROCC"].value for label in ("sharp", "niqe")]
        (intervals,) = axes.collections
        expected = [(found[label]["SROCC"].low, found[label]["SROCC"].high) for label in ("sharp", "niqe")]
        segments = [segment[:, 0] for segment in intervals.get_segments() if np.ndim(segment) == 2]
        np.testing.assert_allclose(segments, expected)

    def test_the_published_value_is_marked(self, graded: DataSetResult) -> None:
        (axes,) = pictures.bars([graded]).axes
        (mark,) = (line for line in axes.lines if line.get_marker() == "D")
        published = graded.published("niqe")
        assert published is not None and list(mark.get_xdata()) == [published.srocc]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["published"]

    def test_no_word_is_cut_off_beside_long_labels(self) -> None:
        labels = ["hyperiqa:pretrained=false,num_crop=25,crop_size=224", "good"]
        scores = pandas.DataFrame({label: np.arange(5.0) for label in labels})
        metrics = {label: MetricResult(label) for label in labels}
        data = DataSetResult("x", scores, pandas.Series(np.arange(5.0)), metrics=metrics)
        figure = pictures.bars([data])
        figure.draw_without_rendering()
        (axes,) = figure.axes
        edges = axes.xaxis.label.get_window_extent()
        assert edges.x0 >= 0 and edges.x1 <= figure.bbox.x1

    def test_nothing_to_draw(self, tmp_path: Path) -> None:
        with pytest.raises(CLIPIQAError, match="No data set has opinion scores"):
            pictures.bars([fake_comparison.folder_only(tmp_path)])


class TestHeatMap:
    def test_values_are_scipys_on_oriented_scores(self, large: DataSetResult) -> None:
        from scipy.stats import spearmanr

        (axes,) = pictures.correlation_heatmap(large).axes
        assert large.mos is not None
        columns = [large.mos, -large.scores["a$b_c$"], -large.scores["same"]]
        expected = [[spearmanr(a, b).statistic for a in columns] for b in columns]
        (mesh,) = axes.collections
        np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan), expected, atol=1e-12)
        assert mesh.get_clim() == (-1, 1)
        names = ["opinion", "a$b_c$", "same"]
        assert [label.get_text() for label in axes.get_xticklabels()] == names
        assert [label.get_text() for label in axes.get_yticklabels()] == names
        assert texts(axes) == [f"{value:.2f}" for row in expected for value in row]

    def test_constant_metrics_have_dashes_and_failed_ones_are_absent(self, graded: DataSetResult) -> None:
        (axes,) = pictures.correlation_heatmap(graded).axes
        assert [label.get_text() for label in axes.get_xticklabels()] == ["opinion", "sharp", "niqe", "flat"]
        assert texts(axes)[-4:] == ["–"] * 4 and texts(axes)[3] == "–"
        assert "nan" not in texts(axes)


class TestDisagreement:
    def test_the_two_swapped_images_are_found_and_no_other(self, graded: DataSetResult) -> None:
        found = graded.disagreements(10)
        assert {Path(one.path).name for one in found} == {"photo 00.png", fake_comparison.NASTY}
        first = next(one for one in found if one.path.endswith("00.png"))
        assert list(first.places) == ["sharp", "niqe"]  # best placed first; 'flat' and 'piqe' have no say
        assert first.places == pytest.approx({"sharp": 39.5 / 40, "niqe": 0.5 / 40})
        assert first.opinion == pytest.approx(0.5 / 40)

    def test_one_metric_cannot_disagree(self, tmp_path: Path) -> None:
        assert fake_comparison.folder_only(tmp_path).disagreements() == []


class TestSvg:
    @pytest.fixture
    def figure(self, large: DataSetResult) -> Figure:
        return pictures.scatter(large, "a$b_c$")

    def test_is_a_small_element_in_the_pages_colour_with_its_text_as_text(self, figure: Figure) -> None:
        said = plotting.svg(figure)
        root = ElementTree.fromstring(said)
        words = "".join(root.itertext())
        assert "a$b_c$ score, lower is better" in words and "MOS, higher is better" in words
        assert "currentColor" in said and plotting.INK not in said
        assert len(said) < 40_000
        assert "http" not in said.replace("http://www.w3.org/", "")


class TestContactSheet:
    def test_images_stand_row_by_row_whole_and_not_enlarged(self, tmp_path: Path) -> None:
        paths = fake_comparison.photos(tmp_path, 5)
        sheet = contact_sheet([Path(path) for path in paths], ["x"] * 5, columns=2, side=64)
        gap = 4
        assert sheet.width == gap + 2 * (64 + gap)
        row = next(y for y in range(gap + 50, sheet.height) if sheet.getpixel((gap, y)) == (12, 100, 200)) - gap
        for number in range(5):
            x, y = gap + number % 2 * (64 + gap), gap + number // 2 * row
            colour = (number * 6, 100, 200)
            assert [sheet.getpixel((x + dx, y + dy)) for dx, dy in ((0, 0), (63, 47))] == [colour] * 2
            assert sheet.getpixel((x, y + 48)) == PAPER
        assert len(sheet.crop((0, gap + 48, 64, gap + row)).getcolors() or []) > 1  # the caption

    def test_large_images_shrink_to_fit_and_keep_their_shape(self) -> None:
        assert thumbnail(Image.new("RGB", (400, 100)), 200).size == (200, 50)
        assert thumbnail(Image.new("L", (30, 60)), 200).size == (30, 60)
        assert thumbnail(Image.new("RGB", (1, 5000)), 100).size == (1, 100)

    def test_a_photo_is_read_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (64, 40)).save(tmp_path / "turned.jpg", exif=exif)
        assert thumbnail(tmp_path / "turned.jpg", 100).size == (40, 64)

    def test_a_file_that_cannot_be_read_leaves_an_empty_field(self, tmp_path: Path) -> None:
        (good,) = fake_comparison.photos(tmp_path, 1)
        sheet = contact_sheet([tmp_path / "missing.png", good], ["missing", "good"], side=64)
        assert sheet.getpixel((4, 4)) == FAINT and sheet.getpixel((4 + 68, 4)) == (0, 100, 200)

    def test_long_captions_lose_their_middle(self) -> None:
        name = "a_very_long_file_name_of_a_photo_0042.png"
        shown = fitted(name, 150, 14)
        assert shown.startswith("a_v") and shown.endswith("0042.png") and "…" in shown
        assert fitted("short", 150, 14) == "short"
        assert fitted("W" * 100_000, 60, 14).count("W") >= 2


def test_figures_ignore_the_users_matplotlib_state(graded: DataSetResult) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.color": "red", "text.usetex": True}):
        said = plotting.svg(pictures.scatter(graded, "niqe"))
    assert "red" not in said and "#ff0000" not in said and "niqe score" in said
