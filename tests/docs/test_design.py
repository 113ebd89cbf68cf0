"""docs/design.md shows the package's real tree, pages cite tests that exist, and examples in docstrings run."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clipiqa_pyiqa"


def test_the_tree_is_the_real_one():
    page = runpy.run_path(str(ROOT / "docs/tree.py"))
    drawn = page["TREE"].search(page["PAGE"].read_text(encoding="utf-8"))
    assert drawn[0] == page["tree"](), "run python docs/tree.py"


def test_no_module_hides_a_function():
    """A module named like something that its package exports would replace it as soon as the module is imported."""
    for init in PACKAGE.rglob("__init__.py"):
        name = ".".join(["clipiqa_pyiqa", *init.parent.relative_to(PACKAGE).parts])
        modules = {path.stem for path in init.parent.glob("*.py")} | {
            path.parent.name for path in init.parent.glob("*/__init__.py")
        }
        hidden = modules & set(getattr(importlib.import_module(name), "__all__", ()))
        assert not hidden, f"{name}: {hidden}"


def test_tests_that_pages_cite_exist():
    """Those without a folder are in tests/faults, as docs/reliability.md says."""
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for cited in re.findall(r"`(tests/[\w/.]+|test_\w+\.py)", page.read_text(encoding="utf-8")):
            path = ROOT / (cited if "/" in cited else f"tests/faults/{cited}")
            assert path.exists(), f"{page.name} cites {cited}"


def test_examples_in_docstrings_run():
    for module in pkgutil.walk_packages([str(PACKAGE)], "clipiqa_pyiqa."):
        assert doctest.testmod(importlib.import_module(module.name)).failed == 0
