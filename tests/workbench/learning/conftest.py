"""What tests of learning share: small photos, and a folder of their features."""

import pandas
import pytest
from photos import PHOTOS, distorted_photos


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
