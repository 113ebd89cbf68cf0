"""Fixtures of the tests of scoring."""

import pytest


@pytest.fixture
def out(tmp_path):
    """Where results go."""
    return tmp_path / "out"


@pytest.fixture
def csv(tmp_path):
    """A file of results."""
    return tmp_path / "s.csv"
