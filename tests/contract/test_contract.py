"""Tests of this folder import public names alone."""

import ast
from pathlib import Path

import pytest

import clipiqa_pyiqa

PUBLIC = {f"clipiqa_pyiqa.{name}" for name in ("errors", "family", "loss", "reward", "torchmetrics")}


def imported(tree):
    """Each name that a module imports, with its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_public(name):
    package, _, rest = name.partition(".")
    if package != "clipiqa_pyiqa" or rest in ("", *clipiqa_pyiqa.__all__):
        return True
    return name in PUBLIC or name.rpartition(".")[0] in PUBLIC


@pytest.mark.quick
@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_no_internals(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [name for name in imported(tree) if not is_public(name)] == []
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    modules = [text for text in texts if text.startswith("clipiqa_pyiqa.") and not is_public(text)]
    assert modules == []  # which a test would replace or import by name
