"""Fixtures that tests of comparisons share."""

import sys
from pathlib import Path

import fake_comparison
import pytest
from run_fixtures import command, contrasts, folders, runs, stand_ins  # noqa: F401

sys.path.append(str(Path(__file__).parents[1] / "measure"))  # whose simulations are tested


@pytest.fixture(scope="session")
def comparison(tmp_path_factory):
    return fake_comparison.comparison(tmp_path_factory.mktemp("images"))
