"""A second run over a folder in which an earlier run wrote: its own files are no photos."""

from pathlib import Path

import pytest
from photos import save_exposures, save_grey, write_scores

from clipiqa_pyiqa import CLIPIQA, draw_maps
from clipiqa_pyiqa.sources.finding import find_inputs

pytestmark = pytest.mark.quick


@pytest.fixture
def photos(tmp_path):
    for number in range(10):
        save_grey(tmp_path / f"p/{number}.png", 20 * number + 10)
    write_scores(tmp_path / "s.csv", [f"p/{number}.png" for number in range(10)])
    return tmp_path / "p"


def found(folder):
    return {Path(path).relative_to(folder).as_posix() for path in find_inputs(folder)}


@pytest.mark.parametrize("place", ["p", "p/page"])
def test_thumbnails_of_a_page_are_no_photos(clipiqa, photos, place):
    """The page lies in the folder of photos; each of two runs counts the ten photos."""
    for _ in range(2):
        clipiqa(f"rank p -b mini --best 10 --page {place}", 0, out="Best 10 of 10")
    assert len(list(photos.rglob(".thumbnails/*/*.jpg"))) == 10


def test_our_pictures_are_no_photos(clipiqa, photos, tmp_path):
    clipiqa(f"rank {photos} -b mini --out {photos}/rk", 0)
    clipiqa(f"radar {photos}/1.png -b mini --out {photos}/radar", 0)
    save_exposures(tmp_path / "large")
    draw_maps(CLIPIQA(backbone="mini"), sorted((tmp_path / "large").iterdir())[:1], out=photos / "maps")
    assert len(list(photos.rglob("*.png"))) == 13 and len(found(photos)) == 10
    clipiqa(f"rank {photos}/rk -b mini", 2, "clipiqa made")


def test_a_photo_counts_once(clipiqa, photos):
    said = clipiqa("rank 'p/*.png' p/0.png ./p/0.png -b mini --above 0 --paths", 0).out
    assert sorted(said.split()) == [f"p/{number}.png" for number in range(10)]
    for again in ("./p/0.png", photos / "0.png"):
        (photos.parent / "s.csv").write_text(f"path,score\np/0.png,3\n{again},8\n")
        clipiqa("rank s.csv --best 1", 2, "p/0.png")
