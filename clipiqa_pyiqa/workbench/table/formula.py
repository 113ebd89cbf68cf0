"""Formulas of protocols: arithmetic on the scores of metrics, evaluated without running code."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import CLIPIQAError
from ...text import hint_for

_LONGEST = 500  # most characters of a formula
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def formula_value(formula: str, values: Mapping[str, float]) -> float:
    """Return the value of a formula of a protocol; NaN if a part is missing, or if it is no number."""
    try:
        if len(formula) > _LONGEST:
            raise SyntaxError(f"it has more than {_LONGEST} characters")
        tree = ast.parse(formula.strip(), mode="eval")
        number: float = _value_of(tree.body, values)
        return number
    except (ArithmeticError, ValueError):  # also the root of a negative number
        return math.nan
    except (SyntaxError, NameError, RecursionError, MemoryError) as error:
        raise CLIPIQAError(f"the formula {formula!r:.200} cannot be read: {error}.") from error


def _value_of(node: ast.expr, values: Mapping[str, float]) -> Any:
    """Return the value of an arithmetic expression, whose names are metrics and values of a protocol."""
    match node:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(name) | ast.Constant(str() as name):
            return _named_value(name, values)
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
            return _OPERATORS[type(operation)](_value_of(left, values), _value_of(right, values))
        case ast.UnaryOp(operation, operand) if type(operation) in _OPERATORS:
            return _OPERATORS[type(operation)](_value_of(operand, values))
        case ast.Call(ast.Name("min" | "max" as name), [_, *_] as arguments, []):
            extreme = min if name == "min" else max
            return extreme(_value_of(argument, values) for argument in arguments)
    raise SyntaxError(f"{ast.unparse(node)!r:.80} is not arithmetic")


def _named_value(name: str, values: Mapping[str, float]) -> float:
    if name not in values:
        raise NameError(f"{name!r} is no metric or value of the protocol: {hint_for(name, values)}")
    if math.isnan(values[name]):
        raise ArithmeticError("a part is missing")
    return values[name]
