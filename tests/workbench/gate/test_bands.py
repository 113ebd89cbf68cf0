"""Bands of one colour: what tells a cut image from a product on white."""

import pytest
from photos import PHOTOS

from clipiqa_pyiqa import read_image
from clipiqa_pyiqa.workbench.gate.bands import band

pytestmark = pytest.mark.quick


def test_the_widest_band_is_found_in_rows_and_columns():
    x = read_image(str(PHOTOS[0])).pixels
    assert band(x) == 0
    for axis in (1, 2):
        cut = x.clone()
        count = x.shape[axis] // 7
        cut.narrow(axis, 30, count).fill_(128)
        assert band(cut) == count / x.shape[axis]
        cut.narrow(axis, 30, 1).narrow(3 - axis, 0, 1).fill_(132)  # a JPEG's white
        assert band(cut) < band(cut, spread=4) == count / x.shape[axis]
