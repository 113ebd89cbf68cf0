"""Fixtures that several test modules share."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

# `pytest -n N`: the workers share the cores; torch and the commands that tests start read this when they start.
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import pytest
from forked import Forked
from seeded import save_seeded
from seeded_compact import save_compact


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="tests/faults: twenty times the trials, for hours")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """How many times the trials of the short form tests of faults make."""
    return 20 if request.config.getoption("long") else 1


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """A command sets how much is said for its process; the next test starts as a fresh process would."""
    logger = logging.getLogger("clipiqa_pyiqa")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def seeded_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``seeded_weights('RN50')`` -> path of a seeded checkpoint of that architecture, made once per session."""
    folder = tmp_path_factory.mktemp("weights")
    made: dict[str, Path] = {}

    def get(backbone: str = "RN50") -> Path:
        if backbone not in made:
            made[backbone] = save_seeded(folder, backbone)
        return made[backbone]

    return get


@pytest.fixture(scope="session")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded checkpoint in the compact format, mini's."""
    return save_compact(tmp_path_factory.mktemp("compact") / "mini.safetensors")


@pytest.fixture(scope="session")
def browser_page() -> ModuleType:
    """docs/site/browser_page.py, which makes the page that scores in the browser."""
    path = Path(__file__).parents[1] / "docs/site/browser_page.py"
    spec = importlib.util.spec_from_file_location("browser_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def exported_mini(browser_page: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """mini as the page has it, exported once per session: what :func:`clipiqa_pyiqa.export_onnx` returned."""
    return browser_page.exported(tmp_path_factory.mktemp("exported") / "mini.onnx")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of larger test images that is not part of the repository."""
    folder = Path(os.environ.get("CLIPIQA_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the larger test images are not at hand: no folder {folder.name}/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Runs commands in processes of their own, quickly."""
    jobs = Forked()
    yield jobs
    jobs.close()
