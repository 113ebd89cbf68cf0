"""Published numbers beside the computed numbers of a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...datasets.specification import CompareError
from ...errors import nearest

_NOTHING = ("", "-", "–", "—", "n/a", "nan")


class Expected(NamedTuple):
    """A published number as printed."""

    test_set: str
    method: str
    metric: str
    text: str

    @property
    def unit(self) -> float:
        return float(10.0 ** -len(self.text.partition(".")[2]))

    def units(self, value: float) -> float:
        """Return the value minus the number, in units of the last printed digit."""
        return (value - float(self.text)) / self.unit

    def agrees(self, value: float) -> bool:
        """Return whether the value differs by at most one unit."""
        return abs(self.units(value)) <= 1 + 1e-6


def read_expected(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Expected]:
    """Return published numbers, with the names that their source uses.

    Args:
        given: CSV files (a row per method, a column per metric, optionally ``test_set``), and texts such as
            ``'ours: psnr=27.92 ssim=0.7835'``.

    Raises:
        CompareError: A file cannot be read, or a value is not a number.
    """
    found = []
    for each in [given] if isinstance(given, str | os.PathLike) else given:
        line = re.fullmatch(r"([^:]+):((\s*[^\s=]+=\S+)+)\s*", str(each))
        if line and not os.path.exists(each):
            pairs = [pair.split("=", 1) for pair in line[2].split()]
            found += [Expected("", line[1].strip(), label, text) for label, text in pairs]
        else:
            found += _read_csv(Path(each).expanduser())
    for number in found:
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", number.text):
            raise CompareError(f"{number.metric} of {number.method!r} must be a number; got {number.text!r:.80}.")
    return found


def match_expected(
    given: Iterable[Expected], test_sets: Sequence[str], methods: Sequence[str], labels: Sequence[str]
) -> tuple[list[Expected], list[str]]:
    """Return the numbers whose names are in the table in any case, and the unknown names."""
    known = {"method": methods, "metric": labels, "test set": test_sets}
    lower = {what: {name.lower(): name for name in names} for what, names in known.items()}
    matched, unknown = [], dict[str, str]()
    for each in given:
        only_set = test_sets[0] if len(test_sets) == 1 else ""
        names = {"method": each.method, "metric": each.metric, "test set": each.test_set or only_set}
        if lost := [what for what, name in names.items() if name.lower() not in lower[what]]:
            unknown |= {f"{what} {names[what]!r}": nearest(names[what], known[what]) for what in lost}
        else:
            method, label, test_set = (lower[what][name.lower()] for what, name in names.items())
            matched.append(Expected(test_set, method, label, each.text))
    if not matched:
        first, hint = next(iter(unknown.items()), ("method ''", ""))
        raise CompareError(f"no published number matches the table: {first}: {hint}")
    return matched, list(unknown)


def _read_csv(path: Path) -> list[Expected]:
    import pandas

    try:
        rows = pandas.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False).fillna("")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV file with a header and rows"
        raise CompareError(
            f"the published numbers {str(path)!r} cannot be read: {reason}. Give a CSV file, or "
            "'METHOD: LABEL=NUMBER …'."
        ) from error
    rows.columns = rows.columns.str.strip()
    by = "method" if "method" in rows else rows.columns[0]
    found = []
    for row in rows.to_dict("records"):
        texts = {label: text.strip() for label, text in row.items() if label not in (by, "test_set")}
        names = (row.get("test_set", "").strip(), row[by].strip())
        found += [Expected(*names, label, text) for label, text in texts.items() if text.lower() not in _NOTHING]
    return found
