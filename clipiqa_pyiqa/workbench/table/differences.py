"""What differs between a table and earlier ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame, Series, concat, to_numeric

from ...errors import CLIPIQAError
from ...text import reason
from ..results.columns import changes
from ..results.header import Header
from .method_table import IMAGES, MethodTable

_CELL = ["test_set", "method", "image"]
_HASHES = {"sha256": "the image", "reference_sha256": "the reference"}
_ROUNDING = 1e-5
"""Largest difference of scores that agree: relative above 1, absolute below. Threads and processors cause less."""


def differences(method_table: MethodTable, earlier: Mapping[Path, DataFrame]) -> DataFrame:
    """Return what differs from earlier tables, in columns ``what``, ``was``, ``now`` and ``why``.

    For the earlier methods and metrics, it compares the records of metrics, the hashes of files, and every score.
    """
    lines = list[tuple[str, ...]]()
    stored = method_table.stored[IMAGES].header.record["columns"]
    ours = {name: record for name, record in stored.items() if name in method_table.columns}
    for path, rows in earlier.items():
        causes = {}
        records = _records(path)
        gone = [label for label in records if label not in ours]
        lines += [(label, "one of the metrics", "not computed", "") for label in gone]
        for label in filter(ours.get, records):
            changed = changes(records[label], ours[label])
            causes[label] = ", ".join(f"{label} {key} changed" for key, *_ in changed)
            lines += [(f"{label} {key}", was, now, "") for key, was, now in changed]
        compared = dict.fromkeys([*_HASHES, *causes, *method_table.columns])
        names = [name for name in compared if name in {*rows}.difference(gone)]
        both = concat(
            {"was": _cells(rows, names), "now": _cells(method_table.scores, names, method_table.sets)}, axis=1
        )
        both = both[both.index.isin({*rows["method"]} - {""}, level="method")].fillna("").astype(str)
        was, now = (to_numeric(both[side], errors="coerce") for side in both)
        both = both[(both["was"] != both["now"]) & ~((was - now).abs() <= _ROUNDING * was.abs().clip(lower=1))]
        for (*cell, name), (before, after) in both.iterrows():
            files = ", ".join(f"{what} changed" for key, what in _HASHES.items() if (*cell, key) in both.index)
            why = files or causes.get(name) or "another machine, device, number of threads or version of a library"
            place = " ".join([*filter(None, (cell[1], cell[2] or cell[0])), name])
            lines.append((place, before or "nothing", after or "nothing", "" if name in _HASHES else why))
    return DataFrame(lines, columns=["what", "was", "now", "why"])


def _cells(rows: DataFrame, names: Sequence[str], *more: DataFrame) -> Series:
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
            f"{path.name}.provenance.json beside {str(path)!r} cannot be read: {reason(error):.200}."
        ) from error
