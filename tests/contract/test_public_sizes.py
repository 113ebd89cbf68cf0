"""``--max-side`` and ``--max-pixels`` of compare and table: what metrics see, what is said, and who refuses them."""

import numpy as np
import pandas
import pytest
from assertions import refused
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import compare, score_paths, table

CPU = {"device": "cpu", "workers": 1}


@pytest.fixture
def photos(tmp_path):
    """Four crops in two sizes, as they are and blurred, and a CSV file of opinions."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB").resize((900, 600))
    for number, size in enumerate([(300, 200), (300, 200), (120, 100), (120, 100)]):
        crop = photo.crop((90 * number, 60 * number, 90 * number + size[0], 60 * number + size[1]))
        for folder, radius in {"gt": 0, "blurred": 1, "more": 2}.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            crop.filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / f"{folder}/{number}.png")
    (tmp_path / "mos.csv").write_text("image,mos\n" + "".join(f"gt/{n}.png,{n}\n" for n in range(4)))
    return tmp_path


@pytest.mark.parametrize("limit", [{"max_side": 128}, {"max_pixels": 12_000}])
@pytest.mark.slow
def test_compare_sees_images_as_score_does(photos, limit):
    found = compare("mini", photos / "mos.csv", bootstrap=0, out=photos / "out", **limit, **CPU)
    rows = score_paths("mini", photos / "gt", **limit, **CPU).frame()
    np.testing.assert_array_equal(found.data_sets[0].scores["mini"], rows["mini"])
    whole = compare("mini", photos / "mos.csv", bootstrap=0, **CPU).data_sets[0].scores["mini"]
    assert (whole.iloc[:2] != found.data_sets[0].scores["mini"].iloc[:2]).all()
    assert (whole.iloc[2:] == found.data_sets[0].scores["mini"].iloc[2:]).all()
    ((name, pixels),) = limit.items()
    assert "2 images shrunk to at most" in found.data_sets[0].note
    assert found.settings[name.replace("_", " ")] == str(pixels)
    assert name in refused(compare, "mini", photos / "mos.csv", out=photos / "out", resume=True, **CPU)


def test_images_that_only_match_after_shrinking_have_no_score(photos):
    for number in range(4):
        Image.open(photos / f"gt/{number}.png").resize((256, 170)).save(photos / f"more/{number}.png")
    found = table({"more": photos / "more"}, "psnr", reference=photos / "gt", max_side=64, **CPU)
    assert "256×170 px" in found.metrics["psnr"].error


def test_protocols_and_metrics_of_sets_refuse_them(clipiqa, photos):
    command = "table --methods more=more --reference gt --device cpu"
    clipiqa(f"{command} --protocol osediff --only psnr --max-side 128", 2, "protocol 'osediff'", "--max-side")
    clipiqa(f"{command} -m fid --max-pixels 5000", 2, "fid", "--max-pixels")
    (photos / "judge.csv").write_text("image,niqe\nmore/0.png,1\nmore/1.png,2\n")
    clipiqa(f"{command} -m niqe=judge.csv --max-side 64", 2, "all scores are in files", "--max-side")
    clipiqa(f"{command} -m psnr --max-pixels 5000 --out out", 0)
    assert pandas.read_csv("out/images.csv")["scored_width"].max() < 90
    clipiqa("compare -m entropy -d gt --max-side 64 --device cpu", 0, out="4 images shrunk to at most 64 px a side")
