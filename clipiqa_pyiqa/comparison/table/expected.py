"""Published numbers beside those computed here, in units of the published rounding."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...datasets.specification import CompareError
from ...errors import nearest
from .values import Expected, MethodScores

_NOTHING = ("", "-", "–", "—", "n/a", "nan")
_LARGEST = 1 << 20  # bytes of a file


def read_expected(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[tuple[str, str, str, str]]:
    """Return test set, method, metric and number as texts, as somebody published them.

    Args:
        given: CSV files (a row per method, columns named by label, ``test_set`` where there are several) and texts
            such as ``'ours: psnr=27.92 ssim=0.7835'``.

    Raises:
        CompareError: A file cannot be read, or something is no number.
    """
    found = []
    for each in [given] if isinstance(given, str | os.PathLike) else given:
        method, colon, rest = str(each).partition(":")
        pairs = [part.partition("=") for part in rest.split()]
        if colon and pairs and all(equals for _, equals, _ in pairs) and not os.path.exists(str(each)):
            found += [("", method.strip(), label, text) for label, _, text in pairs]
        else:
            found += _rows(Path(each).expanduser())
    for _, method, label, text in found:
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text):
            raise CompareError(f"{label} of {method!r} must be a number as printed; got {text!r:.80}.")
    return found


def match_expected(given: list[tuple[str, str, str, str]], found: MethodScores) -> tuple[list[Expected], list[str]]:
    """Match published numbers with a table, without regard to case.

    Returns:
        The numbers that have a cell, and the names that have none.

    Raises:
        CompareError: No method, no metric or no test set is the table's.
    """
    known = {
        "method": {name.lower(): name for name in found.methods},
        "metric": {name.lower(): name for name in found.labels},
        "test set": {name.lower(): name for name in found.test_sets},
    }
    matched, lost = [], []
    for test_set, *names, text in given:
        if not test_set and len(found.test_sets) == 1:
            test_set = found.test_sets[0]
        keys = dict(zip(("method", "metric", "test set"), (*names, test_set), strict=True))
        unknown = [f"{what} {name!r}" for what, name in keys.items() if name.lower() not in known[what]]
        lost += unknown
        if not unknown:
            method, metric, in_set = (known[what][name.lower()] for what, name in keys.items())
            matched.append(Expected(in_set, method, metric, text))
    if not matched:
        what, _, name = (lost[0] if lost else "method ''").rpartition(" ")
        raise CompareError(
            f"no published number matches the table: {what} {name}: {nearest(name, known[what].values())}"
        )
    return matched, list(dict.fromkeys(lost))


def _rows(path: Path) -> list[tuple[str, str, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = [row for row in csv.reader(file.read(_LARGEST).splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no CSV file with a head and rows"
        raise CompareError(
            f"the published numbers {str(path)!r} cannot be read: {why}. Give a CSV file, or 'METHOD: LABEL=NUMBER …'."
        ) from error
    head = [name.strip() for name in head]
    by, sets = "method" if "method" in head else head[0], "test_set"
    found = []
    for row in rows:
        cells = {name: cell.strip() for name, cell in zip(head, row, strict=False)}
        labels = [name for name, cell in cells.items() if name not in (by, sets) and cell.lower() not in _NOTHING]
        found += [(cells.get(sets, ""), cells[by], label, cells[label]) for label in labels]
    return found
