"""Fixtures that tests of a comparison's report and tables share."""

from __future__ import annotations

import fake_comparison
import pytest

from clipiqa_pyiqa.comparison.results import Comparison


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return fake_comparison.comparison(tmp_path_factory.mktemp("images"))
