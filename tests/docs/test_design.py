"""docs/design.md shows the package's real tree, pages cite tests that exist, and examples in docstrings run."""

import ast
import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clipiqa_pyiqa"


def test_the_tree_is_the_real_one():
    page = runpy.run_path(str(ROOT / "docs/tree.py"))
    drawn = page["TREE"].search(page["PAGE"].read_text(encoding="utf-8"))
    assert drawn[0] == page["tree"](), "run python docs/tree.py"


NAME = r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`"
FILE = r"`([\w/]+\.py)`"


def names_defined_in(*paths):
    """The classes, functions, variables and attributes that files define."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return names


def design_page():
    """The text before the tree, in one line."""
    return " ".join((ROOT / "docs/design.md").read_text(encoding="utf-8").partition("## All files")[0].split())


def names_with_files():
    """Pairs of a code name and a file, as in "`A` (`a.py`)", "`A` or `B` of `a.py`" and "In `a.py`, `A`"."""
    page = design_page()
    pairs = re.findall(rf"{NAME} \({FILE}\)", page)
    pairs += re.findall(rf"{NAME} (?:of|in) {FILE}", page)
    pairs += re.findall(rf"{NAME} or `\w+` of {FILE}", page)
    pairs += [(name, file) for file, name in re.findall(rf"In {FILE}, {NAME}", page)]
    return sorted({pair for pair in pairs if pair[1] != "setup.py"})


def test_names_are_defined_in_the_files_that_the_page_says():
    pairs = names_with_files()
    assert len(pairs) > 20, pairs
    for name, file in pairs:
        assert (PACKAGE / file).is_file(), f"docs/design.md names {file}"
        missing = {*name.split(".")} - names_defined_in(PACKAGE / file)
        assert not missing, f"docs/design.md says that {name} is in {file}"


def test_classes_have_the_members_that_the_page_names():
    members = re.findall(r"`([A-Z]\w+)\.(\w+)(?:\(\))?`", design_page())
    assert len(members) > 5, members
    defined = names_defined_in(*PACKAGE.rglob("*.py"))
    assert not [f"{owner}.{member}" for owner, member in members if not {owner, member} <= defined]


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


@pytest.mark.slow
def test_examples_in_docstrings_run():
    for module in pkgutil.walk_packages([str(PACKAGE)], "clipiqa_pyiqa."):
        assert doctest.testmod(importlib.import_module(module.name)).failed == 0
