"""Packaging of clipiqa-pyiqa: a plugin for the image-quality toolbox pyiqa."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "clipiqa_pyiqa/version.py").read_text(), re.MULTILINE).group(1)

setup(
    name="clipiqa-pyiqa",
    version=VERSION,
    description="CLIP-IQA for pyiqa: exact, fast, any image size, and clear about which CLIP-IQA it is",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="clipiqa-pyiqa developers",
    license="MIT",
    license_files=["LICENSE"],
    keywords="image quality assessment, no-reference, CLIP, CLIP-IQA, pyiqa",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["clipiqa_pyiqa*"]),
    py_modules=["clipiqa_pyiqa_plugin"],
    package_data={
        "clipiqa_pyiqa": [
            "py.typed",
            "data/*",
            "data/photos/*",
            "report/report.*",
            "report/templates/*",
            "comparison/report/templates/*",
            "methods/templates/*",
            "browsing/templates/*",
        ]
    },
    python_requires=">=3.10",
    # Each lower bound is what `.ci/oldest` installs and tests; docs/install.md says what was seen.
    install_requires=[
        "pyiqa>=0.1.16",  # the first with entry points
        "torch>=2.6",
        "torchvision>=0.21",
        "open_clip_torch>=2.32",
        # pyiqa and open_clip bring these too, but we import them ourselves.
        "filelock>=3.13.1",
        "huggingface_hub>=1.3",
        "jinja2>=3.1",
        "markupsafe>=2.0",
        "matplotlib>=3.9",
        "numpy>=1.26",
        "pandas>=2.2.2",
        "Pillow>=10.1",
        "pyarrow>=21.0",
        "PyYAML>=6.0.1",
        "safetensors>=0.4.3",
        "scipy>=1.13",
        "simplejpeg>=1.9",  # libjpeg's warnings about damaged JPEGs
        "shtab>=1.8",  # completion of words in shells, fish's from 1.8 on
        "tqdm>=4.66.3",
    ],
    extras_require={
        # setuptools: 70.1 is the first that builds wheels alone, 81 the last with the pkg_resources that openai's clip,
        # and so pyiqa's built-in CLIPIQA, needs.
        "torchmetrics": ["torchmetrics>=1.0"],
        "test": [
            *("pytest>=8", "hypothesis", "setuptools>=70.1,<82"),
            *("ruff", "mypy", "types-PyYAML", "types-tqdm", "import-linter>=2.5", "torchmetrics>=1.0"),
            "scikit-image",  # psnr of the methods' table is checked against its
        ],
    },
    entry_points={
        "console_scripts": ["clipiqa = clipiqa_pyiqa.cli:main"],
        "pyiqa.archs": ["clipiqa = clipiqa_pyiqa_plugin:register"],
        "pyiqa.losses": ["clipiqa = clipiqa_pyiqa_plugin:register_losses"],
    },
)
