"""Write the tree of docs/design.md: the package's folders and modules, each with the first line of its docstring.

Run as ``python docs/tree.py`` after a module was added, renamed or described anew; the tests compare the page with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clipiqa_pyiqa"
PAGE = ROOT / "docs/design.md"
TREE = re.compile(r"(?<=^```\n)clipiqa_pyiqa/\n.*?(?=^```)", re.MULTILINE | re.DOTALL)
WORDS = 34  # column at which the descriptions begin


def first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").partition("\n")[0].rstrip(".")


def lines(folder: Path, depth: int = 1) -> Iterator[str]:
    """Yield one line per module of a folder, then those of its sub-packages."""
    entries = sorted(folder.glob("*.py")) + sorted(path.parent for path in folder.glob("*/__init__.py"))
    for entry in entries:
        if entry.name != "__init__.py":
            name = "  " * depth + entry.name + "/" * entry.is_dir()
            yield f"{name:{WORDS}}{first_line(entry / '__init__.py' if entry.is_dir() else entry)}".rstrip()
        if entry.is_dir():
            yield from lines(entry, depth + 1)


def tree() -> str:
    """Return the tree as it stands on the page."""
    return "\n".join(["clipiqa_pyiqa/", *lines(PACKAGE)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(TREE.sub(lambda _: tree(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
