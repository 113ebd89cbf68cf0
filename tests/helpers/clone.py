"""A copy of what the package is built from, since a build writes beside its sources."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_sources(folder):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for part in ("clipiqa_pyiqa", "configs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
