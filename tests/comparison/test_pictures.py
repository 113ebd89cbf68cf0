"""Pictures show what they should: axes, marks and words are read back from the figures, pixels from the sheets."""

from pathlib import Path

import fake_comparison
import numpy as np
import pytest

from clipiqa_pyiqa.comparison.plots import scatter
from clipiqa_pyiqa.report.contact_sheet import FAINT, PAPER, contact_sheet

pytestmark = pytest.mark.quick


def test_a_plot_of_few_images_has_points_where_score_and_opinion_say(comparison):
    graded = comparison.data_sets[0]
    (axes,) = scatter(graded, "niqe").axes
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), np.stack([graded.scores["niqe"], graded.mos], axis=1))
    assert axes.get_xlabel() == "niqe score, lower is better"
    assert axes.get_ylabel() == "MOS, higher is better"
    assert fake_comparison.CONSTANT in scatter(graded, "flat").axes[0].get_title(loc="left")


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
