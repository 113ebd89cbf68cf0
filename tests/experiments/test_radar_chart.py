"""``clipiqa radar``: which charts, where the points lie, and the three kinds of file."""

from __future__ import annotations

import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from photos import PHOTOS, save_corrupt, save_grey
from PIL import Image

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.experiments.radar_drawing import FEEL, LOOK, charts_of, radar_figure, radar_page
from clipiqa_pyiqa.experiments.scores import Scores
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Two images with all of the paper's attributes, at random."""
    paths = [str(save_grey(tmp_path / name, 90)) for name in ("a <b>.png", "c&d.png")]
    values = np.random.default_rng(0).random((2, 12))
    frame = pd.DataFrame(values, pd.Index(paths, name="path"), [*LOOK, *FEEL])
    return Scores(frame, {"x.png": "'x.png' is <empty>."}, {"backbone": "mini <1>"})


class TestCharts:
    def test_the_papers_two(self, scores: Scores) -> None:
        assert charts_of(scores) == {"look": list(LOOK), "feel": list(FEEL)}
        assert {*LOOK, *FEEL} <= set(NAMED_PAIRS)

    def test_anything_else_is_one_chart(self, scores: Scores) -> None:
        mixed = Scores(scores.frame[["happy", "quality", "new"]], {}, {})
        assert charts_of(mixed) == {"": ["happy", "quality", "new"]}

    def test_the_figures_lines_are_the_scores(self, scores: Scores) -> None:
        look, feel = [axes for axes in radar_figure(scores).findobj() if getattr(axes, "name", "") == "polar"]
        for axes, questions in ((look, LOOK), (feel, FEEL)):
            for line, (_, row) in zip(axes.lines, scores.frame[list(questions)].iterrows(), strict=True):
                angles, values = line.get_data()
                np.testing.assert_allclose(values[:-1], row)
                assert values[-1] == values[0] and math.isclose(angles[1], 2 * math.pi / 6)

    def test_long_words_fit_and_do_not_overlap(self, tmp_path: Path) -> None:
        files = [save_grey(tmp_path / f"{number} {'W' * 60}.png", 90) for number in range(8)]
        questions = ["An extremely long positive prompt that goes on and on.|Short.", *"abcdef"]
        frame = pd.DataFrame(np.full((8, 7), 0.5), pd.Index(list(map(str, files)), name="path"), questions)
        figure = radar_figure(Scores(frame, {}, {}))
        FigureCanvasAgg(figure).draw()
        *photos, chart = [axes for part in figure.subfigs for axes in part.axes]
        labels = [*[axes.xaxis.label for axes in photos], *chart.get_xticklabels()]
        assert labels[0].get_text().startswith("0 W") and "…" in labels[0].get_text()
        boxes = [label.get_window_extent() for label in labels]
        for box, other in itertools.combinations(boxes, 2):
            assert not box.overlaps(other)
        for box in boxes:
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


class TestPage:
    def test_is_well_formed_self_contained_and_escaped(self, scores: Scores) -> None:
        page = radar_page(scores)
        opened: list[str] = []

        class Checker(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                values = dict(attrs)
                assert (values.get("src") or "data:").startswith("data:") and "href" not in values
                if tag not in ("meta", "img", "input", "path", "use"):
                    opened.append(tag)

            def handle_endtag(self, tag: str) -> None:
                if tag not in ("path", "use"):
                    assert opened.pop() == tag

        Checker().feed(page)
        assert opened == []
        assert "a &lt;b&gt;.png" in page and "c&amp;d.png" in page and "<b>" not in page
        assert "mini &lt;1&gt;" in page and "is &lt;empty&gt;." in page

    def test_each_image_can_be_hidden(self, scores: Scores) -> None:
        """Each of two images has a line and an area in each of two charts."""
        page = radar_page(scores)
        assert [page.count(f'<g class="image i{number}">') for number in range(3)] == [4, 4, 0]
        ids = re.findall(r' id="([^"]*)"', page)
        assert len(ids) == len(set(ids))


class TestCommand:
    def test_a_folder_of_every_kind(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out, corrupt = tmp_path / "out", save_corrupt(tmp_path / "half.png")
        args = [*map(str, PHOTOS), str(corrupt), "--backbone", "mini", "--max-side", "160"]
        assert main(["radar", *args, "--out", str(out)]) == 1
        printed = capsys.readouterr()
        lines = printed.out.splitlines()
        assert [line.split()[0] for line in lines[1:]] == list(LOOK)  # mini knows no word of the feel
        assert "left out" in printed.err and "half.png" in printed.err
        with Image.open(out / "radar.png") as picture:
            assert picture.width > 800
        assert (out / "radar.svg").read_text().rstrip().endswith("</svg>")
        scored = pd.read_csv(out / "scores.csv", comment="#").set_index("path")
        assert f">{scored.loc[str(PHOTOS[0]), 'quality']:.4f}</td>" in (out / "radar.html").read_text()

    def test_images_of_one_name_are_told_apart(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        paths = [str(save_grey(tmp_path / folder / "a.png", level)) for folder, level in (("x", 20), ("y", 220))]
        assert main(["radar", *paths, "--backbone", "mini"]) == 0
        assert capsys.readouterr().out.splitlines()[0].split() == ["question", *paths]

    def test_one_file(self, tmp_path: Path) -> None:
        args = ["radar", str(PHOTOS[0]), "--backbone", "mini", "--max-side", "96", "--look", "-q"]
        assert main([*args, "--out", str(tmp_path / "one.svg")]) == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("one.svg", "one.svg.csv", "one.svg.csv.provenance.json", "one.svg.json"),
        ]
        assert json.loads((tmp_path / "one.svg.json").read_text())["summary"][0]["question"] == "quality"

    def test_no_photo_is_overwritten(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        photo, other = (save_grey(tmp_path / name, 90) for name in ("photo.png", "other.png"))
        before = photo.read_bytes()
        args = ["radar", str(photo), "--backbone", "mini", "-q", "--out"]
        assert main([*args, str(photo), "--overwrite"]) == 2
        assert "is one of the inputs" in capsys.readouterr().err
        assert main(["radar", str(other), *args[2:], str(photo)]) == 2
        assert "exists already: pass overwrite" in capsys.readouterr().err and photo.read_bytes() == before
        assert main(["radar", str(other), *args[2:], str(photo), "--overwrite"]) == 0
        assert photo.read_bytes() != before

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["-p", "happy", "new"], "at least three questions; got happy, new"),
            (["--look", "-p", "happy"], "name the questions"),
            (["{folder}"], "a radar chart shows at most 8 images; got 10"),
        ],
    )
    def test_bad_input(self, more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for number in range(9):
            save_grey(tmp_path / f"{number}.png", number)
        words = [word.format(folder=tmp_path) for word in more]
        assert main(["radar", str(PHOTOS[0]), *words, "--backbone", "mini"]) == 2
        assert message in capsys.readouterr().err
