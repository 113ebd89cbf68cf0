"""What tests of learning share: small photos, and a folder of their features."""

import pytest
from photos import PHOTOS, distorted_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Paths of a photo in nine versions of 48 by 40 pixels."""
    return distorted_photos(tmp_path_factory.mktemp("photos"), PHOTOS[:1], (48, 40))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("features")
