"""What an installation consists of: the wheel's files, entry points, and honest requirements."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import clipiqa_pyiqa
from clipiqa_pyiqa.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clipiqa_pyiqa"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, since a build writes beside its sources."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in (PACKAGE.name, "configs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="module")
def wheel(source: Path) -> zipfile.ZipFile:
    """The wheel that `pip install .` would install."""
    folder = source.parent
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def read(wheel: zipfile.ZipFile, suffix: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(suffix))
    return wheel.read(name).decode()


def requirements(wheel: zipfile.ZipFile) -> list[str]:
    """What an installation without extras requires, such as ``torch>=2.4``."""
    metadata = message_from_string(read(wheel, ".dist-info/METADATA"))
    return [line.replace(" ", "") for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.relative_to(ROOT).as_posix() for path in files} <= shipped  # code, weights, photos, styles
    assert "clipiqa_pyiqa/py.typed" in shipped
    assert all(name.startswith("clipiqa_pyiqa/") for name in shipped)
    assert "MIT License" in read(wheel, "LICENSE")


def test_editable_installation_is_a_path(wheel: zipfile.ZipFile, source: Path) -> None:
    """mypy and pyright follow a path; setuptools' import hooks, its other form, they do not."""
    code = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    folder = source.parent / "editable"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    assert read(zipfile.ZipFile(path), ".pth").strip() == str(source)


def test_configurations_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """docs/reproduce.md names them, for `clipiqa compare -c table1` and the like."""
    shipped = {name.removeprefix("clipiqa_pyiqa/configs/") for name in wheel.namelist() if name.endswith(".yml")}
    assert shipped == {path.relative_to(ROOT / "configs").as_posix() for path in ROOT.glob("configs/*/*.yml")}
    assert len(shipped) > 10


RELATIVE = re.compile(r"\]\((?![a-z]+:|#)")


@pytest.mark.parametrize("repository", ["", "https://example.org/clipiqa-pyiqa"])
def test_links_hold_on_a_package_index(source: Path, repository: str, tmp_path: Path) -> None:
    """There are none to files beside it; what stands in code is left as it is."""
    assert RELATIVE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    shutil.copytree(source, tmp_path / "source")
    setup = tmp_path / "source" / "setup.py"
    text = setup.read_text(encoding="utf-8").replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}")
    setup.write_text(text, encoding="utf-8")
    with open(tmp_path / "source" / "README.md", "a", encoding="utf-8") as file:
        file.write("\n![a picture](docs/images/x.png)\n\n```python\nx[0](y)\n```\n")
    code = "import sys; from setuptools.build_meta import prepare_metadata_for_build_wheel as p; p(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=setup.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.dist-info/METADATA")
    metadata = message_from_string(path.read_text(encoding="utf-8"))
    shown = str(metadata.get_payload())
    assert not RELATIVE.search(shown.replace("x[0](y)", "")) and "x[0](y)" in shown
    assert "Paper, https://arxiv.org/abs/2207.12396" in metadata.get_all("Project-URL")
    version = clipiqa_pyiqa.__version__
    assert (f"[mini]({repository}/blob/v{version}/docs/mini.md)" in shown) == bool(repository)
    assert (f"![a picture]({repository}/raw/v{version}/docs/images/x.png)" in shown) == bool(repository)
    assert (f"Source, {repository}" in metadata.get_all("Project-URL")) == bool(repository)


def test_version_has_a_single_source(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_string(read(wheel, ".dist-info/METADATA"))
    assert metadata["Version"] == clipiqa_pyiqa.__version__
    assert f"## [{clipiqa_pyiqa.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_entry_points(wheel: zipfile.ZipFile) -> None:
    text = read(wheel, ".dist-info/entry_points.txt")
    assert re.search(r"^\[console_scripts\]\nclipiqa = clipiqa_pyiqa\.cli:main$", text, re.MULTILINE)
    assert re.search(r"^\[pyiqa\.archs\]\nclipiqa = clipiqa_pyiqa\.plugin:register$", text, re.MULTILINE)


def test_requirements_are_ranges_that_the_oldest_run_installs(wheel: zipfile.ZipFile) -> None:
    """`.ci/oldest` reads the lower bounds from setup.py with a regular expression: it must see every one."""
    assert "pyiqa>=0.1.16" in requirements(wheel)
    pattern = re.compile(r'^ *"([A-Za-z0-9_]+>=[0-9.]+)",', re.MULTILINE)
    seen = pattern.findall((ROOT / "setup.py").read_text())
    assert sorted(seen) == sorted(requirements(wheel))


def test_requirements_are_what_the_package_imports(wheel: zipfile.ZipFile) -> None:
    distributions = {"PIL": "Pillow", "open_clip": "open_clip_torch", "yaml": "PyYAML"}
    imported = {distributions.get(name, name) for name in imported_modules() if name not in sys.stdlib_module_names}
    extras = {"torchmetrics", "ray", "pillow_heif", "onnx", "onnxruntime"}
    assert imported - extras == {line.split(">=")[0] for line in requirements(wheel)}


def imported_modules() -> Iterator[str]:
    """The top-level name of every absolute import in the package, without those for type checkers only."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if node in for_types:
                continue
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.split(".")[0]


def test_workflow_tests_the_wheel_everywhere(wheel: zipfile.ZipFile) -> None:
    """It cannot run here: that it says what it should is all that can be checked."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/wheel.yml").read_text(encoding="utf-8"))
    test = workflow["jobs"]["test"]
    assert [name.split("-")[0] for name in test["strategy"]["matrix"]["os"]] == ["ubuntu", "macos", "windows"]
    pythons = test["strategy"]["matrix"]["python"]
    metadata = message_from_string(read(wheel, ".dist-info/METADATA"))
    assert metadata["Requires-Python"] == f">={pythons[0]}" and pythons == ["3.10", "3.11", "3.12", "3.13"]
    commands = "\n".join(step.get("run", "") for step in test["steps"])
    assert "dist/*.whl" in commands and "pip install ." not in commands and "\npytest" in f"\n{commands}"
    assert all(command in COMMANDS for command in re.findall(r"^clipiqa (\w+)", commands, re.MULTILINE))
    assert all((ROOT / path).exists() for path in re.findall(r"tests/\S+", commands))
