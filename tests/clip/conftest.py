"""Metrics on seeded weights."""

import pytest

from clipiqa_pyiqa import CLIPIQA


@pytest.fixture(scope="session")
def make(seeded_weights):
    """``make('RN50', precision='bf16')`` -> a metric on seeded weights; mini's are its own."""
    return lambda backbone, **options: CLIPIQA(
        backbone=backbone, clip_weights=seeded_weights(backbone), **options
    ).eval()
