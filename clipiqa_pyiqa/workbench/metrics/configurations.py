"""pyiqa's configurations of its metrics."""

import importlib.util
import os
import runpy
from functools import cache
from typing import Any


@cache
def pyiqa_configs() -> dict[str, dict[str, Any]]:
    """Return pyiqa's names of metrics -> their configurations, without importing pyiqa."""
    package = importlib.util.find_spec("pyiqa")
    if package is None or not package.submodule_search_locations:
        return {}
    folder = package.submodule_search_locations[0]
    return dict(runpy.run_path(os.path.join(folder, "default_model_configs.py"))["DEFAULT_CONFIGS"])
