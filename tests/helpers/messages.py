"""What our code can say, and which commands can make it say so, read off the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import clipiqa_pyiqa

ROOT = Path(clipiqa_pyiqa.__file__).parent
_SAYS = {"print", "tell", "warn", "append", "warning", "info", "error"}


@functools.cache
def _modules() -> dict[str, tuple[bool, ast.Module]]:
    """Name -> whether it is a package, and its tree without what only type checkers see."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        tree = _ForTypesOnly().visit(ast.parse(path.read_text(encoding="utf-8")))
        found[".".join(parts[:-1] if is_package else parts)] = is_package, tree
    return found


class _ForTypesOnly(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Pass() if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)


def reached(module: str) -> set[str]:
    """A module and all of ours that it imports at any time, and what these do."""
    seen, waiting = {module}, [module]
    while waiting:
        new = set(_imports(waiting.pop())) - seen
        seen |= new
        waiting += new
    return seen


def _imports(module: str) -> Iterator[str]:
    modules = _modules()
    is_package, tree = modules[module]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = module.split(".") if is_package else module.split(".")[:-1]
            parts = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            for alias in node.names if base in modules else ():
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else _home(base, alias.name)


@functools.cache
def _home(package: str, name: str) -> str:
    """Where what a package offers is written; packages import it when it is first asked for."""
    for module, (_, tree) in _modules().items():
        if module.startswith(f"{package}.") and any(
            name == getattr(node, "name", None) or any(getattr(t, "id", None) == name for t in _targets(node))
            for node in tree.body
        ):
            return module
    return package


def _targets(node: ast.stmt) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []


def said(module: str) -> Iterator[tuple[int, str]]:
    """(Line, text) of whatever a module raises, prints, logs or keeps to be said; X for what is put in."""
    _, tree = _modules()[module]
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield node.lineno, _text(node.exc)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _SAYS or name.endswith("Error"):
                yield node.lineno, _text(node)
        elif (
            isinstance(node, ast.Assign | ast.AugAssign | ast.Return)
            and node.value is not None
            and not any(getattr(target, "id", "") == "EPILOG" for target in getattr(node, "targets", ()))
        ):
            yield node.lineno, _text(node.value)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "X"
    glue = "" if isinstance(node, ast.JoinedStr | ast.BinOp) else " "
    return glue.join(filter(None, map(_text, ast.iter_child_nodes(node))))
