"""A second run over a folder of photos: what the first one wrote is no photo, and a photo counts once."""

from pathlib import Path

import pytest
from photos import save_grey

pytestmark = pytest.mark.quick


@pytest.fixture
def photos(tmp_path):
    for number in range(10):
        save_grey(tmp_path / f"p/{number}.png", 20 * number + 10)
    return tmp_path / "p"


def test_a_photo_counts_once(clipiqa, photos):
    said = clipiqa("rank 'p/*.png' p/0.png ./p/0.png -b mini --above 0 --paths", 0).out
    assert sorted(said.split()) == [f"p/{number}.png" for number in range(10)]
    for again in ("./p/0.png", photos / "0.png"):
        Path("s.csv").write_text(f"path,score\np/0.png,3\n{again},8\n")
        clipiqa("rank s.csv --best 1", 2, "p/0.png")
