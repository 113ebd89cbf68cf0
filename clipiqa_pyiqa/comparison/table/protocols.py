"""Protocols: how published tables are computed, one YAML file each."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...datasets.specification import check_kinds
from ...errors import CLIPIQAError, nearest
from ...files.yaml import check_keys, read_mapping, shipped
from .preprocessing import Preprocess

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
CERTAINTY = {
    "code": "read in the source's code",
    "author": "as far as its author said",
    "user": "as its users reconstructed it",
}
FORMULA_OF = {False: "the means", True: "each image, then averaged"}
UNEQUAL = {
    "": "refused",
    "cut": "both cut at the bottom and the right to the smaller height and width",
    "resize": "both resized to the smaller height and width, bilinearly with antialiasing",
    "reference": "resized to the reference's size, by PIL's bilinear filter",
}
_SOURCE = ("repository", "commit", "files", "pyiqa", "licence", "said")
_AVERAGES = ("images", "sequences")


@dataclass(frozen=True)
class Protocol:
    """The way a published table computes its metrics; docs/published-numbers.md shows a file.

    Attributes:
        certainty, unequal: Keys of ``CERTAINTY`` and ``UNEQUAL``.
        source: ``repository``, ``commit``, ``files``, ``pyiqa``'s version, ``licence``, ``said`` (in a discussion).
        metrics: Label -> metric, as written after ``-m``.
        not_computed: Label -> why pyiqa cannot compute the metric.
        view, views: Fields of ``Preprocess`` for all metrics; label -> changes of these fields.
        removed: Text to remove from names of the methods' images.
        average: ``'images'``, ``'sequences'``, or sub-folder -> weight.
        score, formula: Name and formula of a combined score.
        per_picture: Whether the formula takes each image's scores instead of the means.
        values: Name of a number that the user gives -> its meaning.
    """

    name: str
    title: str
    certainty: str
    source: dict[str, str]
    metrics: dict[str, str]
    not_computed: dict[str, str] = field(default_factory=dict)
    view: dict[str, Any] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    unequal: str = ""
    removed: str = ""
    average: str | dict[str, float] = "images"
    score: str = ""
    formula: str = ""
    per_picture: bool = False
    values: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def preprocess_of(self, label: str) -> Preprocess:
        return Preprocess(**{**self.view, **self.views.get(label, {})})

    def combine(self, scores: Mapping[str, float], values: Mapping[str, float]) -> float:
        """Return the formula's value; NaN if a part is missing."""
        missing = dict.fromkeys([*self.values, *self.not_computed, *self.metrics], math.nan)
        return evaluate(self.formula, {**missing, **values, **scores})

    @property
    def averaging(self) -> str:
        if isinstance(self.average, str):
            return f"over {self.average}"
        return f"weighted: {', '.join(f'{name} {weight:g}' for name, weight in self.average.items())}"

    @property
    def cited(self) -> str:
        where = " ".join(self.source[key] for key in ("repository", "commit", "files") if key in self.source)
        return ", ".join(filter(None, [where, self.source.get("said", "")]))


NO_PROTOCOL = Protocol("", "", "code", {}, {})
_KINDS: dict[str, tuple[type, ...]] = {key: (type(value),) for key, value in vars(NO_PROTOCOL).items() if key != "name"}
_KINDS["average"] = (str, dict)


def read_protocol(name: str | Path) -> Protocol:
    """Return a protocol, from the name of a shipped protocol or the path of a file."""
    known = shipped(protocols=True)
    path = known.get(str(name).lower()) or Path(name).expanduser()
    if path.suffix not in (".yml", ".yaml"):
        raise CLIPIQAError(f"unknown protocol {str(name)!r}: {nearest(str(name), known)}")
    return make_protocol(path.stem, **read_mapping(path, _KINDS))


def make_protocol(name: str, sha256: str = "", **values: Any) -> Protocol:
    where = f"protocol {name!r}"
    check_kinds(values, _KINDS, where)
    if lacking := [key for key in ("title", "certainty", "source", "metrics") if key not in values]:
        raise CLIPIQAError(f"{where} needs the key {lacking[0]!r}.")
    for key in ("source", "metrics", "not_computed", "values"):
        values[key] = {str(label): str(text) for label, text in values.get(key, {}).items()}
    protocol = Protocol(name, **values)
    for what, given, known in (
        ("certainty", [protocol.certainty], CERTAINTY),
        ("unequal", [protocol.unequal], UNEQUAL),
        ("source", protocol.source, _SOURCE),
        ("average", [protocol.average] if isinstance(protocol.average, str) else [], _AVERAGES),
        ("views", protocol.views, protocol.metrics),
    ):
        if unknown := [each for each in given if each not in known]:
            raise CLIPIQAError(f"{what} of {where} has {unknown[0]!r}: {nearest(unknown[0], known)}")
    kinds = {key: (type(value),) for key, value in vars(Preprocess()).items()}
    for view in (protocol.view, *protocol.views.values()):
        if not isinstance(view, dict):
            raise CLIPIQAError(f"a view of {where} must map {', '.join(kinds)} to pixels; got {view!r:.80}.")
        check_keys(view, kinds, f"a view of {where}")
        check_kinds(view, kinds, f"a view of {where}")
        if any(value is None or value < 0 for value in view.values()):
            raise CLIPIQAError(f"pixels in a view of {where} must be at least 0; got {view}.")
    if protocol.formula:
        evaluate(protocol.formula, dict.fromkeys([*protocol.metrics, *protocol.not_computed, *protocol.values], 1.0))
    return protocol


def evaluate(formula: str, values: Mapping[str, float]) -> float:
    try:
        if len(formula) > _LONGEST:
            raise SyntaxError(f"it has more than {_LONGEST} characters")
        return _value(ast.parse(formula.strip(), mode="eval").body, values)
    except (ArithmeticError, ValueError):  # also the root of a negative number
        return math.nan
    except (SyntaxError, NameError, RecursionError, MemoryError) as error:
        raise CLIPIQAError(f"the formula {formula!r:.200} cannot be read: {error}.") from error


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id=name) | ast.Constant(value=str() as name):
            if name not in values:
                raise NameError(f"{name!r} is no metric or value of the protocol: {nearest(name, values)}")
            if math.isnan(values[name]):
                raise ArithmeticError("a part is missing")
            return values[name]
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
            return float(_OPERATORS[type(op)](_value(left, values), _value(right, values)))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return float(_OPERATORS[type(op)](_value(operand, values)))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, *_] as given, keywords=[]):
            numbers = [_value(each, values) for each in given]
            return min(numbers) if name == "min" else max(numbers)
    raise SyntaxError(f"{ast.unparse(node)!r:.80} is not arithmetic")
