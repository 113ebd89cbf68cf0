"""Fixtures of the tests that every version must pass: through public names, commands and files alone."""

import pytest
from run_fixtures import command, contrasts, folders, photos, runs, sizes, stand_ins, store  # noqa: F401

from clipiqa_pyiqa import CLIPIQA


@pytest.fixture(scope="session")
def make(seeded_weights):
    """``make('RN50', precision='bf16')`` -> a metric on seeded weights; mini's are its own."""
    return lambda backbone, **options: CLIPIQA(
        backbone=backbone, clip_weights=seeded_weights(backbone), **options
    ).eval()


@pytest.fixture
def out(tmp_path):
    """Where results go."""
    return tmp_path / "out"


@pytest.fixture
def csv(tmp_path):
    """A file of results."""
    return tmp_path / "s.csv"
