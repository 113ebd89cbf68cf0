"""Docstrings as the help of commands."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from typing import Any


def documentation(thing: Any) -> tuple[str, str, dict[str, tuple[list[str], str]]]:
    """Return a docstring's first line, other text before ``Args:``, and argument -> (words in parentheses, help)."""
    text, _, arguments = _docstring(thing).partition("\nArgs:\n")
    summary, _, more = text.partition("\n")
    entries = re.findall(r"^ {4}(\w+)(?: \(([^)]*)\))?: ((?:.*\n?)(?: {8}.*\n?)*)", arguments, re.M)
    return summary, more.strip(), {name: (words.split(), " ".join(text.split())) for name, words, text in entries}


def _docstring(thing: Any) -> str:
    if sys.flags.optimize < 2:
        return inspect.cleandoc(thing.__doc__ or "")

    (definition,) = ast.parse(inspect.getsource(thing)).body
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(definition) or ""
