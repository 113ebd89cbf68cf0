"""``--max-side`` and ``--max-pixels`` of compare and table: what metrics see, what is said, and who refuses them."""

import json

import numpy as np
import pytest
import torch
from assertions import refused
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import compare, table
from clipiqa_pyiqa.workbench.opinions.data_sets import parse_data_sets
from clipiqa_pyiqa.workbench.options import Reading

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


def test_images_that_pyiqa_reads_shrink_too(contrasts):
    options = contrasts["data_sets"]["data"] | {"augment": {"resize": 48}}
    (data,) = parse_data_sets({"data": options}, contrasts["data_root"])
    record = data.images[0].load(Reading(max_side=40))
    assert record.size == (40, 30) and (record.width, record.height) == (64, 48)


def test_no_published_value_stands_beside_shrunk_images(contrasts, monkeypatch):
    monkeypatch.setattr("clipiqa_pyiqa.workbench.opinions.data_set_sources.published_set", lambda *_: "livec")
    known = {"livec": contrasts["data_sets"]["data"]}
    for module in ("pyiqa_settings", "data_set_sources", "data_sets"):
        monkeypatch.setattr(f"clipiqa_pyiqa.workbench.opinions.{module}.known_sets", lambda: known)
    sets = {"data_sets": "livec", "data_root": contrasts["data_root"], "bootstrap": 0}
    found = [compare("piqe", **sets, **limit, **CPU).data_sets[0].published_as for limit in ({}, {"max_side": 40})]
    assert found == ["livec", ""]


class Seen:
    """Remembers the sizes of what it sees, and returns the mean difference."""

    lower_better = True
    metric_mode = "FR"
    version = "1"

    def __init__(self):
        self._sizes = []

    def __call__(self, image, reference):
        self._sizes.append((tuple(image.shape[2:]), tuple(reference.shape[2:])))
        return (image - reference).abs().mean().view(1, 1)


def test_both_sides_of_a_pair_shrink_alike(photos):
    seen = Seen()
    methods = {"blurred": photos / "blurred", "more": photos / "more"}
    given = {"reference": photos / "gt", "out": photos / "out", **CPU}
    found = table(methods, {"seen": seen, "mini": "mini"}, max_side=128, **given)
    assert sorted(set(seen._sizes)) == [((85, 128), (85, 128)), ((100, 120), (100, 120))]
    for row in found.scores.to_dict("records"):
        sides = []
        for folder in (row["method"], "gt"):
            image = Image.open(photos / folder / f"{row['image']}.png")
            if image.width > 128:
                image = image.resize((128, 85), Image.Resampling.LANCZOS)
            sides.append(torch.from_numpy(np.array(image)).float() / 255)
        assert row["seen"] == pytest.approx((sides[0] - sides[1]).abs().mean().item(), abs=1e-6)
    assert "4 of 8 images shrunk to at most 128 px a side, with their references" in found.table()
    assert "images shrunk to at most 128 px a side" in found.describe()
    found.save(photos / "out")
    columns = json.loads((photos / "out/images.csv.provenance.json").read_text())["columns"]
    assert columns["seen"]["max_side"] == columns["mini"]["max_side"] == 128
    assert "Metrics saw the images shrunk to at most 128 px a side" in (photos / "out/report.html").read_text()
    assert "max_side" in refused(table, methods, {"seen": Seen()}, resume=True, **given)
