"""Scores that combine others: arithmetic over named numbers, evaluated from its syntax tree and never run."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ...datasets.specification import CompareError
from ...errors import nearest

_LONGEST = 500  # characters
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos},
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}


def formula_names(formula: str) -> list[str]:
    """Return the names in a formula; one that is no identifier stands in quotes there: ``'clipiqa+'``.

    Raises:
        CompareError: The formula is more than arithmetic over names and numbers.
    """
    tree = _parsed(formula)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=str() as name) | ast.Constant(value=str() as name) if id(node) not in functions:
                names.append(name)
    evaluate(formula, dict.fromkeys(names, 1.0))
    return sorted(set(names), key=names.index)


def evaluate(formula: str, values: Mapping[str, float]) -> float:
    """Return the value of a formula of + − × / ``**``, ``min``, ``max``, numbers and names; NaN where it has none.

    Raises:
        CompareError: The formula is more than that, or has a name that is not among ``values``.
    """
    try:
        found = _value(_parsed(formula), values)
    except (SyntaxError, RecursionError) as error:
        raise CompareError(f"the formula {formula!r:.200} cannot be read: {error}.") from error
    except ArithmeticError:
        return math.nan
    return float(found) if isinstance(found, float) else math.nan  # a root of a negative number is complex


def _parsed(formula: str) -> ast.expr:
    try:
        if len(formula) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} characters")
        return ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CompareError(f"the formula {formula!r:.200} cannot be read: {error}.") from error


def _value(node: ast.expr, values: Mapping[str, float]) -> Any:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name) | ast.Constant(value=str() as name):
            if name not in values:
                raise CompareError(f"the formula has {name!r}, which is no label: {nearest(name, values)}")
            if math.isnan(values[name]):
                raise ArithmeticError("a part is missing")
            return float(values[name])
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand, values))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, *_] as given, keywords=[]):
            return _FUNCTIONS[name]([_value(each, values) for each in given])
    raise SyntaxError(f"{ast.unparse(node)!r:.80} is no arithmetic")
