"""Lines are read once: one thing happens in each, functions and modules are short.

ruff holds complexity, branches, statements and arguments (``pyproject.toml``); these are constructions that it does not
know.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FUNCTION = 45  # lines of its body, without the docstring
LONGEST_MODULE = 300
TOWERS = "clipiqa_pyiqa/clip/"  # each is one subject, however long


def files():
    return [*sorted((ROOT / "clipiqa_pyiqa").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def is_truth(node):
    """Whether an expression is certainly True or False."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") in ("bool", "any", "all", "isinstance")
    if isinstance(node, ast.BoolOp):
        return all(map(is_truth, node.values))
    is_negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return is_negation or isinstance(node, ast.Compare)


def is_computed(node):
    return not isinstance(node, ast.Constant | ast.Name)


def nodes_in_tests(tree):
    """The nodes in tests of ``if`` and ``while``, and in conditions of comprehensions, where a walrus is plain."""
    tests = [node.test for node in ast.walk(tree) if isinstance(node, ast.If | ast.While)]
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            tests += node.ifs
    return {id(node) for test in tests for node in ast.walk(test)}


def problem_of(node):
    """What is dense in a node; empty if nothing is."""
    match node:
        case ast.Assign(targets=[_, _, *_]):
            return "chained assignment"
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple(elts=parts)) if sum(map(is_computed, parts)) > 1:
            return "packed assignment of computed values"
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() if len(node.generators) > 2:
            return "comprehension with more than two `for`"
        case ast.IfExp(test, body, orelse) if any(isinstance(part, ast.IfExp) for part in (test, body, orelse)):
            return "conditional expression inside another"
        case ast.For(iter=ast.IfExp()) | ast.comprehension(iter=ast.IfExp()):
            return "conditional expression as the iterable of a `for`"
        case ast.BinOp(left, ast.Mult(), right) if is_truth(left) or is_truth(right):
            return "truth multiplied"
        case ast.AugAssign(op=ast.Add(), value=value) if is_truth(value):
            return "truth added"
        case ast.Starred(value=ast.IfExp()):
            return "star over a conditional expression"
        case ast.For(body=[ast.Raise() | ast.Return()]):
            return "`for` used as `if`"
    return ""


def problems_in(text):
    """Each dense construction in Python code, with its line."""
    tree = ast.parse(text)
    plain_places = nodes_in_tests(tree)
    for node in ast.walk(tree):
        problem = problem_of(node)
        if isinstance(node, ast.NamedExpr) and id(node) not in plain_places:
            problem = "assignment expression outside a test"
        if problem:
            yield f"line {getattr(node, 'lineno', '?')}: {problem}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = length_of(node)
            if length > LONGEST_FUNCTION:
                yield f"line {node.lineno}: {node.name} has {length} lines"


def length_of(function):
    statements = function.body
    if ast.get_docstring(function) is not None:
        statements = statements[1:]
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


@pytest.mark.quick
def test_each_line_does_one_thing():
    problems = {name_of(path): list(problems_in(path.read_text(encoding="utf-8"))) for path in files()}
    assert {name: dense for name, dense in problems.items() if dense} == {}


@pytest.mark.quick
def test_modules_are_short():
    """Tests are exempt: a long list of cases is one subject."""
    package = [path for path in files() if name_of(path).startswith("clipiqa_pyiqa/")]
    package = [path for path in package if not name_of(path).startswith(TOWERS)]
    long = {name_of(path) for path in package if path.read_text(encoding="utf-8").count("\n") > LONGEST_MODULE}
    assert long == set()


@pytest.mark.quick
@pytest.mark.parametrize(
    "code",
    [
        "a = b = f()",
        "a, b = f(), g()",
        "[x for a in b for c in a for x in c]",
        "a if b else c if d else e",
        "for a in (b if c else d): f(a)",
        "'s' * (n > 1)",
        "n += a == b",
        "f(*(a if b else c))",
        "for a in b: raise a",
        "f(a := 1)",
    ],
)
def test_dense_lines_are_found(code):
    assert list(problems_in(code))


@pytest.mark.quick
@pytest.mark.parametrize(
    "code",
    ["a, b = b, a", "if a := f(): g(a)", "while a := f(): g(a)", "[b for a in c if (b := f(a))]", "a if b else c"],
)
def test_plain_lines_are_not(code):
    assert not list(problems_in(code))
