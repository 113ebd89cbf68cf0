"""``clipiqa radar``: which charts, where the points lie, and the three kinds of file."""

import math

import numpy as np
from metrics import Brightness
from photos import save_grey

from clipiqa_pyiqa import CLIPIQA, radar
from clipiqa_pyiqa.workbench.experiments.radar_chart import CHARTS

# Charts


def test_the_papers_that_the_clip_knows_or_one(tmp_path):
    photo = save_grey(tmp_path / "a.png", 20)
    known = radar(CLIPIQA(backbone="mini"), photo)
    assert known.charts == {"look": [*CHARTS["look"]]}  # it knows no word of feel
    assert known.unknown == [*CHARTS["feel"]] and known.is_complete
    assert known.notes() == ["left out: aesthetic, happy, natural, new, scary, complex, as mini never saw their words"]
    assert radar(Brightness(), photo, ["happy", "quality", "new"]).charts == {"": ["happy", "quality", "new"]}


def test_the_figures_lines_are_the_scores(tmp_path):
    paths = [save_grey(tmp_path / f"{level}.png", level) for level in (90, 200)]
    result = radar(Brightness(), paths, list(CHARTS["look"]))
    (panel,) = (axes for axes in result.figure().findobj() if getattr(axes, "name", "") == "polar")
    for line, (_, scores) in zip(panel.lines, result.frame.iterrows(), strict=True):
        angles, radii = line.get_data()
        np.testing.assert_allclose(radii, [*scores, scores.iloc[0]])
        assert math.isclose(angles[1], 2 * math.pi / 6)


def test_images_of_one_name_are_told_apart(tmp_path):
    paths = [save_grey(tmp_path / folder / "a.png", 20) for folder in ("x", "y")]
    result = radar(Brightness(), paths, ["happy", "new", "scary"])
    assert list(result.summary()) == ["question", "x/a.png", "y/a.png"]
