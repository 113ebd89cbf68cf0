"""Packaging of clipiqa-pyiqa: a plugin for the image-quality toolbox pyiqa."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "clipiqa_pyiqa/version.py").read_text(), re.MULTILINE).group(1)
REPOSITORY = ""  # the address under which this repository is published, without a slash at its end


def for_the_index(readme: str) -> str:
    """Return README.md with absolute links to this version's tag; without ``REPOSITORY``, links become their words."""
    link = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")

    def absolute(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        if not REPOSITORY:
            return "" if image else words
        return f"{image}[{words}]({REPOSITORY}/{'raw' if image else 'blob'}/v{VERSION}/{target})"

    parts = re.split(r"(^```.*?^```$)", readme, flags=re.MULTILINE | re.DOTALL)  # odd ones are code
    return "".join(part if n % 2 else link.sub(absolute, part) for n, part in enumerate(parts))


def project_urls() -> dict[str, str]:
    urls = {"Paper": "https://arxiv.org/abs/2207.12396", "pyiqa": "https://github.com/chaofengc/IQA-PyTorch"}
    if REPOSITORY:
        at = f"{REPOSITORY}/blob/v{VERSION}"
        urls |= {"Source": REPOSITORY, "Documentation": f"{at}/README.md", "Changelog": f"{at}/CHANGELOG.md"}
    return urls


class BuildWithConfigs(build_py):
    """Copies configs/ into the package, where `clipiqa compare -c table1` finds it."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # else modules that are gone would be installed again
        super().run()
        if not self.editable_mode:  # workbench/files/yaml.py finds them in the clone
            for path in ROOT.glob("configs/*/*.yml"):
                target = Path(self.build_lib, "clipiqa_pyiqa", path.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(
    name="clipiqa-pyiqa",
    version=VERSION,
    description="CLIP-IQA for pyiqa: scores how good a photo looks with a frozen CLIP, without training, at any size",
    long_description=for_the_index((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    author="clipiqa-pyiqa developers",
    project_urls=project_urls(),
    cmdclass={"build_py": BuildWithConfigs},
    license="MIT",
    license_files=["LICENSE"],
    keywords="image quality assessment, IQA, no-reference, perceptual loss, CLIP, CLIP-IQA, pyiqa",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    # "." by name: an editable installation is then a path, which mypy and pyright follow, and no import hook
    package_dir={"": "."},
    packages=find_packages(include=["clipiqa_pyiqa*"]),
    package_data={
        "clipiqa_pyiqa": [
            "py.typed",
            "data/*",
            "data/photos/*",
            "workbench/opinions/*.csv",
            "workbench/experiments/templates/*",
            "workbench/report/templates/*",
            "workbench/maps/templates/*",
            "workbench/rank/templates/*",
        ]
    },
    python_requires=">=3.11",
    # Each lower bound here and in [test] is what `.ci/oldest` installs and tests; docs/install.md says what was seen.
    install_requires=[
        "pyiqa>=0.1.16",  # the first with entry points
        "torch>=2.6",
        "torchvision>=0.21",
        "open_clip_torch>=2.32",
        # pyiqa and open_clip bring these too, but we import them ourselves.
        "cyclopts>=5.5.2,<6",  # the command line
        "fsspec>=2025.9",
        "huggingface_hub>=1.3",
        "jinja2>=3.1.2",
        "markupsafe>=2.0",
        "matplotlib>=3.9",
        "numpy>=1.26",
        "pandas>=2.2.2",
        "Pillow>=11.1",
        "pyarrow>=21.0",
        "PyYAML>=6.0.1",
        "safetensors>=0.6.2",
        "scipy>=1.13",
        "simplejpeg>=1.9",  # libjpeg's warnings about damaged JPEGs
        "tqdm>=4.66.3",
    ],
    extras_require={
        # setuptools: 70.1 is the first that builds wheels alone, 81 the last with the pkg_resources that openai's clip,
        # and so pyiqa's built-in CLIPIQA, needs.
        "torchmetrics": ["torchmetrics>=1.4"],
        "ray": ["ray[data]>=2.60"],
        "heif": ["pillow-heif>=0.18"],
        "video": ["av>=15.1"],
        "onnx": ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.18"],  # and torch>=2.9; onnxruntime checks the file
        "docs": [
            *("sphinx>=8", "furo>=2024.8", "myst-parser>=4"),
            *("onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.18", "torchmetrics>=1.4"),
        ],
        "pipelines": ["datasets>=4", "ray[data]>=2.60", "webdataset>=1.0", "daft>=0.7"],  # the recipes of docs/scale.md
        "test": [
            *("pytest>=8", "pytest-xdist>=3.5", "filelock>=3.13.1", "hypothesis", "setuptools>=70.1,<82"),
            *("ruff", "mypy", "types-PyYAML", "types-tqdm", "import-linter>=2.5", "torchmetrics>=1.4"),
            *("onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.18", "playwright>=1.45"),
            *("scikit-image", "PyWavelets"),  # the methods' table and its example
            *("aiohttp", "requests", "av>=15.1"),  # images on a web server; videos
        ],
    },
    entry_points={
        "console_scripts": ["clipiqa = clipiqa_pyiqa.workbench.commands:main"],
        "pyiqa.archs": ["clipiqa = clipiqa_pyiqa.plugin:register"],
        "pyiqa.losses": ["clipiqa = clipiqa_pyiqa.plugin:register_losses"],
    },
)
