"""A second run over a folder of photos: what the first one wrote is no photo, and a photo counts once."""

import shutil
from pathlib import Path

import pytest
from photos import save_grey

pytestmark = pytest.mark.quick


@pytest.fixture
def photos(tmp_path):
    for number in range(10):
        save_grey(tmp_path / f"p/{number}.png", 20 * number + 10)
    return tmp_path / "p"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["p", "p/page"])
def test_thumbnails_of_a_page_are_no_photos(clipiqa, photos, place):
    """The page lies in the folder of photos; each of two runs counts the ten photos."""
    for _ in range(2):
        clipiqa(f"rank p -b mini --best 10 --page {place}", 0, out="Best 10 of 10")
    assert len(list(photos.rglob(".thumbnails/*/*.jpg"))) == 10


@pytest.mark.parametrize("command", ["rank", "radar", "sweep", "map"])
@pytest.mark.parametrize("sources, out", [("p", "p"), ("p", "p/deep/out"), ("p link", "link/out"), ("'p/*.png'", "p")])
def test_pictures_do_not_go_where_the_next_run_would_find_them(clipiqa, photos, command, sources, out):
    Path("link").symlink_to("p")
    clipiqa(f"{command} {sources} -b mini --out {out}", 2, f"'{out}' lies in 'p", "begins with a dot")
    assert len(list(photos.rglob("*"))) == 10


def test_both_folders_of_pairs_hold_no_pictures(clipiqa, photos):
    shutil.copytree(photos, "high")
    for sources, out in (("p high", "high/out"), ("p high", "p/out"), ("'p/*.png' 'high/*.png'", "high")):
        clipiqa(f"pairs {sources} -b mini --out {out}", 2, f"'{out}' lies in")


@pytest.mark.slow
def test_sheets_beside_the_photos_or_in_a_hidden_folder_are_no_photos(clipiqa, photos):
    """Each of two runs counts the ten photos."""
    for out in ("sheets", "p/.sheets", "p/.hidden/sheets"):
        for again in ("", "--resume"):
            clipiqa(f"rank p -b mini --best 10 --out {out} {again}", 0, out="Best 10 of 10")
        assert Path(out, "rank-quality.png").is_file()
    clipiqa("rank 'p/*.png' -b mini --best 10 --out p/sheets", 0, out="Best 10 of 10")  # which the pattern leaves out
