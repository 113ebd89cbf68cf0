"""Each line is read once: no construction packs several things into one expression.

ruff holds complexity and statements (``pyproject.toml``); these are constructions that it does not know.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def is_truth(node):
    """Whether an expression is certainly True or False."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") in ("bool", "any", "all", "isinstance")
    if isinstance(node, ast.BoolOp):
        return all(map(is_truth, node.values))
    is_negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return is_negation or isinstance(node, ast.Compare)


def problem_of(node):
    """What is dense in a node; empty if nothing is."""
    match node:
        case ast.IfExp(test, body, orelse) if any(isinstance(part, ast.IfExp) for part in (test, body, orelse)):
            return "conditional expression inside another"
        case ast.BinOp(left, ast.Mult(), right) if is_truth(left) or is_truth(right):
            return "truth multiplied"
        case ast.AugAssign(op=ast.Add(), value=value) if is_truth(value):
            return "truth added"
    return ""


def problems_in(text):
    """Each dense construction in Python code, with its line."""
    tree = ast.parse(text)
    tests = [node.test for node in ast.walk(tree) if isinstance(node, ast.If | ast.While)]
    tests += [test for node in ast.walk(tree) if isinstance(node, ast.comprehension) for test in node.ifs]
    in_tests = {id(node) for test in tests for node in ast.walk(test)}
    for node in ast.walk(tree):
        problem = problem_of(node)
        if isinstance(node, ast.NamedExpr) and id(node) not in in_tests:
            problem = "assignment expression outside a test"
        if problem:
            yield f"line {node.lineno}: {problem}"


@pytest.mark.quick
def test_each_line_does_one_thing():
    files = [*(ROOT / "clipiqa_pyiqa").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    problems = {path.name: list(problems_in(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: dense for name, dense in problems.items() if dense} == {}


@pytest.mark.quick
@pytest.mark.parametrize(
    "code",
    ["a if b else c if d else e", "'s' * (n > 1)", "n += a == b", "f(a := 1)"],
)
def test_dense_lines_are_found(code):
    assert list(problems_in(code))


@pytest.mark.quick
@pytest.mark.parametrize("code", ["if a := f(): g(a)", "while a := f(): g(a)", "[b for a in c if (b := f(a))]"])
def test_plain_lines_are_not(code):
    assert not list(problems_in(code))
