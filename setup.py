"""Packaging of clipiqa-pyiqa: a plugin for the image-quality toolbox pyiqa."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "clipiqa_pyiqa/__init__.py").read_text()).group(1)

setup(
    name="clipiqa-pyiqa",
    version=VERSION,
    description="CLIP-IQA for pyiqa: exact, fast, any image size, and clear about which CLIP-IQA it is",
    packages=find_packages(include=["clipiqa_pyiqa*"]),
    package_data={"clipiqa_pyiqa": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=[
        "pyiqa>=0.1.16",
        "torch>=2.4",
        "torchvision>=0.19",
        "open_clip_torch>=2.24",
    ],
    extras_require={
        # setuptools<82: pyiqa's built-in CLIPIQA imports openai's clip, which needs pkg_resources.
        "test": ["pytest", "hypothesis", "setuptools<82", "ruff", "mypy", "types-PyYAML", "types-tqdm"],
    },
    entry_points={
        "console_scripts": ["clipiqa = clipiqa_pyiqa.cli:main"],
        "pyiqa.archs": ["clipiqa = clipiqa_pyiqa.plugin:register"],
    },
)
