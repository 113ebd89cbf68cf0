"""docs/design.md draws the house as it is: the same folders and modules, and none besides."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clipiqa_pyiqa"
PAGE = (ROOT / "docs/design.md").read_text(encoding="utf-8")
MOST_IN_THE_ROOT, MOST_IN_A_FOLDER = 9, 14


def drawn() -> dict[str, set[str]]:
    """Folder (``''`` is the package) -> its modules in the tree of the page, by indentation."""
    (tree,) = re.findall(r"^```\nclipiqa_pyiqa/\n(.*?)^```", PAGE, re.M | re.S)
    rooms: dict[str, set[str]] = {"": set()}
    path: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        path = path[:depth]
        names = re.match(r"(?:[\w.]+(?:\.py|/)\s+)+", line.lstrip() + " ")
        assert names, line
        for name in names[0].split():
            if name.endswith("/"):
                path = [*path[:depth], name[:-1]]
                rooms["/".join(path)] = set()
            else:
                rooms["/".join(path)].add(name)
    return rooms


def built() -> dict[str, set[str]]:
    rooms = {}
    for folder in [PACKAGE, *(path for path in PACKAGE.rglob("*") if (path / "__init__.py").is_file())]:
        modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        name = folder.relative_to(PACKAGE).as_posix()
        rooms["" if name == "." else name] = modules
    return rooms


def test_the_tree_is_the_real_one() -> None:
    assert drawn() == built()


def test_nobody_has_to_search_a_folder() -> None:
    assert len(built()[""]) <= MOST_IN_THE_ROOT
    assert all(len(modules) <= MOST_IN_A_FOLDER for modules in built().values())


def test_no_module_hides_a_function() -> None:
    """A folder or module named like what its package exports would replace it as soon as it is imported."""
    import importlib

    for room, modules in built().items():
        package = importlib.import_module("clipiqa_pyiqa" + "".join(f".{part}" for part in room.split("/") if part))
        folders = {name.rpartition("/")[2] for name in built() if name.rpartition("/")[0] == room and name}
        hidden = ({name.removesuffix(".py") for name in modules} | folders) & set(getattr(package, "__all__", ()))
        assert not hidden, f"{room or 'clipiqa_pyiqa'}: {hidden}"
