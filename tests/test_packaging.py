"""What an installation consists of: the wheel's files, entry points, and honest requirements."""

import ast
import re
import subprocess
import sys
import zipfile
from email import message_from_string

import pytest
from repository import ROOT, copy_sources

import clipiqa_pyiqa

PACKAGE = ROOT / "clipiqa_pyiqa"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` would install."""
    source = tmp_path_factory.mktemp("wheel")
    copy_sources(source)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = source.glob("*.whl")
    return zipfile.ZipFile(path)


def read(wheel, suffix):
    (name,) = (name for name in wheel.namelist() if name.endswith(suffix))
    return wheel.read(name).decode()


def requirements(wheel):
    """What an installation without extras requires, such as ``torch>=2.4``."""
    metadata = message_from_string(read(wheel, ".dist-info/METADATA"))
    return [line.replace(" ", "") for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel):
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.relative_to(ROOT).as_posix() for path in files} <= shipped  # code, weights, photos, styles
    configs = {f"clipiqa_pyiqa/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("configs/*/*.yml")}
    assert len(configs) > 10 and configs | {"clipiqa_pyiqa/py.typed"} <= shipped  # for `clipiqa compare -c table1`
    assert all(name.startswith("clipiqa_pyiqa/") for name in shipped)
    assert "MIT License" in read(wheel, "LICENSE")


def test_version_and_entry_points(wheel):
    assert f"\nVersion: {clipiqa_pyiqa.__version__}\n" in read(wheel, ".dist-info/METADATA")
    assert f"## [{clipiqa_pyiqa.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    text = read(wheel, ".dist-info/entry_points.txt")
    assert "[console_scripts]\nclipiqa = clipiqa_pyiqa.workbench.commands:main\n" in text
    assert "[pyiqa.archs]\nclipiqa = clipiqa_pyiqa.plugin:register\n" in text


def test_requirements_are_ranges_that_the_oldest_run_installs(wheel):
    """`.ci/oldest` reads the lower bounds from setup.py with a regular expression: it must see every one."""
    assert "pyiqa>=0.1.16" in requirements(wheel)
    pattern = re.compile(r'^ *"([A-Za-z0-9_]+>=[0-9.]+)(?:,<[0-9.]+)?",', re.MULTILINE)
    seen = pattern.findall((ROOT / "setup.py").read_text())
    assert sorted(seen) == sorted(re.sub("<[0-9.]+,", "", line) for line in requirements(wheel))


def test_requirements_are_what_the_package_imports(wheel):
    distributions = {"PIL": "Pillow", "open_clip": "open_clip_torch", "yaml": "PyYAML"}
    imported = {distributions.get(name, name) for name in imported_modules() if name not in sys.stdlib_module_names}
    extras = {"torchmetrics", "ray", "pillow_heif", "av", "onnx", "onnxruntime"}
    assert imported - extras == {re.split("[<>]", line)[0] for line in requirements(wheel)}


def imported_modules():
    """The top-level name of every absolute import in the package, without those for type checkers only."""
    for path in PACKAGE.rglob("*.py"):
        code = re.sub(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", "", path.read_text(encoding="utf-8"), flags=re.M)
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.split(".")[0]
