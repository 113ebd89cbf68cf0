"""The scales of columns, as texts in results: range, direction and fingerprint."""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

from .columns import Column

SHORT_LENGTH = 6
"""Length of a fingerprint in the rows of a CSV file, beside which the whole one is in the provenance file."""


def short_scale_text(columns: Iterable[Column]) -> str:
    """Return the cell of the column ``scale`` of a CSV file, such as ``quality:+:0..1:3f2a9c niqe:-:0..:77aa01``.

    The sign says whether high scores are good; then come the range, which is empty if it is open, and the beginning
    of the fingerprint.
    """
    texts = []
    for column in columns:
        if column.lower_better is not None:
            name = re.sub(r"[\s:%]", lambda letter: quote(letter[0], safe=""), column.name)
            sign = "-" if column.lower_better else "+"
            low, high = map(_text_of_end, column.bounds)
            bounds = f"{low}..{high}" if low or high else ""
            texts.append(f"{name}:{sign}:{bounds}:{column.fingerprint[:SHORT_LENGTH]}")
    return " ".join(texts)


def scale_text(columns: Iterable[Column]) -> str:
    """Return what columns mean as JSON, such as ``{"quality":[0,1,"higher","3f2a9c01…"]}``."""
    scales = {}
    for column in columns:
        if column.lower_better is not None:
            low, high = column.bounds
            better = "lower" if column.lower_better else "higher"
            scales[column.name] = [_shortest(low), _shortest(high), better, column.fingerprint]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def _text_of_end(end: float | None) -> str:
    return "" if end is None else str(_shortest(end))


def _shortest(end: float | None) -> float | None:
    """Return the end of a scale, as a whole number if it is one."""
    return int(end) if end is not None and float(end).is_integer() else end


def read_scales(cells: Iterable[Any]) -> dict[str, Column]:
    """Return the columns in cells of :func:`short_scale_text` or :func:`scale_text`.

    Raises ``ValueError`` if they differ.
    """
    columns: dict[str, Column] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            columns_of_cell = _columns_in(cell) if cell.startswith("{") else _columns_in_short(cell)
        except (ValueError, TypeError, AttributeError):
            continue
        for name, column in columns_of_cell.items():
            if columns.get(name, column) != column:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        columns |= columns_of_cell
    return columns


def _columns_in_short(scale: str) -> dict[str, Column]:
    """Return the columns in a text of :func:`short_scale_text`. Raises ``ValueError`` for another text."""
    columns = {}
    for text in scale.split(" "):
        name, sign, bounds, fingerprint = text.split(":")
        low, _, high = bounds.partition("..")
        if sign not in ("+", "-"):
            raise ValueError(f"{sign!r} is no sign")
        limits = [float(end) if end else None for end in (low, high)]
        record = {"range": limits, "lower_better": sign == "-", "hash": fingerprint}
        columns[unquote(name)] = Column(unquote(name), record)
    return columns


def _columns_in(scale: str) -> dict[str, Column]:
    """Return the columns in a text of :func:`scale_text`."""
    columns = {}
    for name, (low, high, better, fingerprint) in json.loads(scale).items():
        record = {"range": [low, high], "lower_better": better == "lower", "hash": str(fingerprint)}
        columns[name] = Column(name, record)
    return columns
