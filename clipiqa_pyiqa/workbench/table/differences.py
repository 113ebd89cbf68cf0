"""What differs between a table and earlier ones."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame, Series, concat, to_numeric

from ...errors import CLIPIQAError
from ...text import reason_of
from ..results.columns import changes
from ..results.header import Header
from .method_table import IMAGES, MethodTable

_CELL = ["test_set", "method", "image"]
_HASHES = {"sha256": "the image", "reference_sha256": "the reference"}
_Line = tuple[str, str, str, str]
"""What differs, what it was, what it is now, and why."""
_ROUNDING = 1e-5
"""Largest difference of scores that agree: relative above 1, absolute below. Threads and processors cause less."""


def differences(method_table: MethodTable, earlier: Mapping[Path, DataFrame]) -> DataFrame:
    """Return what differs from earlier tables, in columns ``what``, ``was``, ``now`` and ``why``.

    For the earlier methods and metrics, it compares the records of metrics, the hashes of files, and every score.
    """
    lines = list[_Line]()
    stored = method_table.stored[IMAGES].header.record["columns"]
    records_now = {name: record for name, record in stored.items() if name in method_table.metrics}
    for path, rows in earlier.items():
        records = _records(path)
        gone = [label for label in records if label not in records_now]
        lines += [(label, "one of the metrics", "not computed", "") for label in gone]
        causes = {}
        for label in filter(records_now.get, records):
            changed = changes(records[label], records_now[label])
            causes[label] = ", ".join(f"{label} {key} changed" for key, *_ in changed)
            lines += [(f"{label} {key}", was, now, "") for key, was, now in changed]
        compared = dict.fromkeys([*_HASHES, *causes, *method_table.metrics])
        names = [name for name in compared if name in {*rows}.difference(gone)]
        lines += _lines_of_cells(_changed_cells(method_table, rows, names), causes)
    return DataFrame(lines, columns=["what", "was", "now", "why"])


def _changed_cells(method_table: MethodTable, rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Return the cells of earlier methods that differ, as texts ``was`` and ``now``; rounding is no difference.

    Args:
        rows: Those of an earlier table.
        names: The columns that are compared.
    """
    cells = concat({"was": _cells(rows, names), "now": _cells(method_table.scores, names, method_table.sets)}, axis=1)
    is_of_earlier_method = cells.index.isin({*rows["method"]} - {""}, level="method")
    cells = cells[is_of_earlier_method].fillna("").astype(str)
    was = to_numeric(cells["was"], errors="coerce")
    now = to_numeric(cells["now"], errors="coerce")
    is_rounding = (was - now).abs() <= _ROUNDING * was.abs().clip(lower=1)
    return cells[(cells["was"] != cells["now"]) & ~is_rounding]


def _lines_of_cells(changed_cells: DataFrame, causes: Mapping[str, str]) -> Iterator[_Line]:
    """Yield a line for each changed cell; a hash needs no reason.

    Args:
        causes: Label -> what changed in the record of the metric; empty if nothing did.
    """
    for (test_set, method, image, name), (was, now) in changed_cells.iterrows():
        why = ""
        if name not in _HASHES:
            hashes = [what for key, what in _HASHES.items() if (test_set, method, image, key) in changed_cells.index]
            files = ", ".join(f"{what} changed" for what in hashes)
            why = files or causes.get(name) or "another machine, device, number of threads or version of a library"
        place = " ".join([*filter(None, (method, image or test_set)), name])
        yield place, was or "nothing", now or "nothing", why


def _cells(rows: DataFrame, names: Sequence[str], *more: DataFrame) -> Series:
    """Return the cells of columns by test set, method, image and column; the first of equal rows counts."""
    cells = concat([rows, *more]).fillna({"image": ""}).drop_duplicates(_CELL).set_index(_CELL)
    return cells.reindex(columns=names).astype(object).stack()


def _records(path: Path) -> dict[str, Any]:
    """Return label -> record of its metric in ``images.csv.provenance.json``; empty without this file."""
    try:
        record = json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))
        return {column.name: column.record for column in Header.of(record).columns}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CLIPIQAError(
            f"{path.name}.provenance.json beside {str(path)!r} cannot be read: {reason_of(error):.200}."
        ) from error
