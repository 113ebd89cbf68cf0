"""Pictures show what they should: axes, marks and words are read back from the figures, pixels from the sheets."""

import fake_comparison
import numpy as np
import pytest
from photos import drawn

from clipiqa_pyiqa.workbench.compare.plots import scatter
from clipiqa_pyiqa.workbench.report.contact_sheet import contact_sheet
from clipiqa_pyiqa.workbench.report.pictures import FAINT

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
    images = [(path, "x") for path in (*paths, tmp_path / "missing.png")]
    pixels = drawn(contact_sheet({"": images}, columns=2, side=64))
    places = [np.argwhere((pixels == (6 * number, 100, 200)).all(axis=2)) for number in range(3)]
    assert [len(each) for each in places] == [64 * 48] * 3
    (top, left), right, below = (each[0] for each in places)
    assert right.tolist() == [top, left + 64 + 4] and below[0] > top + 48 and below[1] == left
    assert tuple(pixels[below[0], right[1]]) == FAINT  # the field of the file that cannot be read
    assert len(np.unique(pixels[top + 48 : below[0]])) > 2  # the captions
