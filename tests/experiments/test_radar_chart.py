"""``clipiqa radar``: which charts, where the points lie, and the three kinds of file."""

import math

import numpy as np
import pandas as pd
import pytest
from photos import PHOTOS, save_grey
from standin import Brightness

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.experiments.radar_chart import CHARTS, RadarCharts, radar
from clipiqa_pyiqa.results.columns import Column


class TestCharts:
    def test_the_papers_that_the_clip_knows_or_one(self, tmp_path):
        photo = save_grey(tmp_path / "a.png", 20)
        assert radar(CLIPIQA(backbone="mini"), photo).charts == {"look": [*CHARTS["look"]]}  # it knows no word of feel
        assert radar(Brightness(), photo, ["happy", "quality", "new"]).charts == {"": ["happy", "quality", "new"]}

    def test_the_figures_lines_are_the_scores(self, tmp_path):
        paths = [str(save_grey(tmp_path / name, 90)) for name in ("a.png", "b.png")]
        asked = sum(CHARTS.values(), ())
        frame = pd.DataFrame(np.random.default_rng(0).random((2, 12)), pd.Index(paths, name="path"), [*asked])
        columns = {name: Column(name, {"range": [0, 1]}) for name in asked}
        figure = RadarCharts(frame, {}, {}, columns, {}, CHARTS).figure()
        panels = [axes for axes in figure.findobj() if getattr(axes, "name", "") == "polar"]
        for axes, questions in zip(panels, CHARTS.values(), strict=True):
            for line, (_, row) in zip(axes.lines, frame[list(questions)].iterrows(), strict=True):
                angles, values = line.get_data()
                np.testing.assert_allclose(values[:-1], row)
                assert values[-1] == values[0] and math.isclose(angles[1], 2 * math.pi / 6)


def test_images_of_one_name_are_told_apart(tmp_path):
    paths = [save_grey(tmp_path / folder / "a.png", 20) for folder in ("x", "y")]
    found = radar(Brightness(), paths, ["happy", "new", "scary"])
    assert list(found.summary()) == ["question", "x/a.png", "y/a.png"]


class TestCommand:
    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["-p", "happy", "new"], "three questions"),
            (["{folder}"], "at most 8 images"),
        ],
    )
    def test_charts_that_cannot_be_drawn_are_refused(self, more, message, tmp_path, capsys):
        for number in range(9):
            save_grey(tmp_path / f"{number}.png", number)
        words = [word.format(folder=tmp_path) for word in more]
        assert main(["radar", str(PHOTOS[0]), *words, "--backbone", "mini"]) == 2
        assert message in capsys.readouterr().err
