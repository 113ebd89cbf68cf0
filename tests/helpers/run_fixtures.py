"""Fixtures of several folders: two runs to compare, stand-ins for downloaded metrics, graded and rated photos."""

import json
import zlib

import pandas
import pyiqa
import pytest
import torch
from inputs import graded_data_set
from photos import BUNDLED, PHOTOS, distorted_photos
from PIL import Image


@pytest.fixture
def runs(tmp_path):
    """Writes base.csv and new.csv of another tool, given each column's values in both; returns their paths."""

    def write(**columns):
        files = [str(tmp_path / "base.csv"), str(tmp_path / "new.csv")]
        for side, file in enumerate(files):
            frame = pandas.DataFrame({name: both[side] for name, both in columns.items()})
            frame.rename_axis("image").to_csv(file)
        return files

    return write


@pytest.fixture
def folders(tmp_path):
    """A folder with folders base and new of 20 equal crops."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB")
    for name in ("base", "new"):
        (tmp_path / name).mkdir()
        for n in range(20):
            photo.crop((9 * n, 2 * n, 9 * n + 80, 2 * n + 64)).save(tmp_path / f"{name}/{n}.png")
    return tmp_path


@pytest.fixture
def command(folders):
    """The command that compares ``folders``, but for the metric."""
    return f"gate {folders}/base {folders}/new --device cpu --out {folders}/gate -m"


CREATE = pyiqa.create_metric


def stand_in(name, options):
    """A metric in place of one whose weights are not here: another number for other pixels, names or options."""
    seed = zlib.crc32(json.dumps([name, options], sort_keys=True).encode())
    weights = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))

    def score(x, reference=None):
        seen = torch.nn.functional.conv2d(x, weights, stride=3).mean().view(1, 1) / 100
        return seen if reference is None else seen - torch.tanh(score(reference))

    return score


def create(name, device=None, **options):
    if name in ("fid", "musiq-spaq"):
        raise OSError("no weights")
    return CREATE(name, device=device, **options) if name.startswith(("psnr", "ssim")) else stand_in(name, options)


@pytest.fixture
def stand_ins(monkeypatch, seeded_weights):
    monkeypatch.setattr(pyiqa, "create_metric", create)
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights().parent))


@pytest.fixture
def contrasts(tmp_path):
    """One photo in five contrasts, as arguments: what its spread and the score must come to is known."""
    root = tmp_path / "contrasts"
    options = graded_data_set(root, [BUNDLED / "canyon-wren.jpg"], ["contrast"], size=(64, 48))
    return {"data_sets": {"data": options}, "data_root": root}


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Paths of a photo in nine versions of 48 by 40 pixels."""
    return distorted_photos(tmp_path_factory.mktemp("photos"), PHOTOS[:1], (48, 40))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="session")
def sizes(tmp_path_factory):
    """Photos with scores from 1 to 5 that no zero-shot question asks for: how large their files are."""
    folder = tmp_path_factory.mktemp("photos")
    frame = pandas.DataFrame({"path": distorted_photos(folder, PHOTOS, (64, 48), parts=2)[:36]})
    frame["mos"] = 1 + 4 * frame["path"].map(lambda path: path.stat().st_size).rank(pct=True)
    frame.to_csv(folder / "scores.csv", index=False)
    return folder / "scores.csv"
