"""Fixtures that tests of a comparison's report and tables share."""

import fake_comparison
import pytest


@pytest.fixture(scope="session")
def comparison(tmp_path_factory):
    return fake_comparison.comparison(tmp_path_factory.mktemp("images"))
