"""An earlier table's files ``images.csv`` and ``sets.csv`` beside a table that was computed again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from ...errors import CLIPIQAError
from ...results.columns import changes

if TYPE_CHECKING:
    from .results import MethodTable

CELL = ["test_set", "method", "image"]
HASHES = {"sha256": "the image", "reference_sha256": "the reference"}
_ELSEWHERE = "another machine, device, number of threads or version of a library"
_ROUNDING = 1e-5
"""Largest difference of scores that agree: relative above 1, absolute below. Threads and processors cause less."""


def differences(found: MethodTable, earlier: Mapping[Path, pandas.DataFrame]) -> pandas.DataFrame:
    """Return what differs from earlier tables, in columns ``what``, ``was``, ``now`` and ``why``.

    Compared are, for the earlier methods and metrics, the records of metrics, the hashes of files, and every score.
    """
    lines: list[tuple[str, str, str, str]] = []
    ours = {metric.label: json.loads(json.dumps(metric.columns[0].record)) for metric in found.built}
    for path, rows in earlier.items():
        causes = {}
        for label, record in _records(path).items():
            changed = changes(record, ours.get(label, {}))
            causes[label] = ", ".join(f"{label} {key} changed" for key, *_ in changed)
            lines += [(f"{label} {key}", was, now, "") for key, was, now in changed]
        names = [name for name in dict.fromkeys([*HASHES, *causes, *found.labels]) if name in rows]
        both = pandas.concat({"was": _cells(rows, names), "now": _cells(found.scores, names, found.sets)}, axis=1)
        both = both[both.index.isin(rows["method"], level="method")].fillna("").astype(str)
        was, now = (pandas.to_numeric(both[side], errors="coerce") for side in both)
        both = both[(both["was"] != both["now"]) & ~((was - now).abs() <= _ROUNDING * was.abs().clip(lower=1))]
        for (*cell, name), (before, after) in both.iterrows():
            files = ", ".join(f"{what} changed" for key, what in HASHES.items() if (*cell, key) in both.index)
            why = "" if name in HASHES else files or causes.get(name) or _ELSEWHERE
            place = " ".join([*filter(None, (cell[1], cell[2] or cell[0])), name])
            lines.append((place, before or "nothing", after or "nothing", why))
    return pandas.DataFrame(lines, columns=["what", "was", "now", "why"])


def _cells(rows: pandas.DataFrame, names: Sequence[str], *more: pandas.DataFrame) -> pandas.Series:
    whole = pandas.concat([rows, *more]).fillna({"image": ""}).drop_duplicates(CELL).set_index(CELL)
    return whole.reindex(columns=names).astype(object).stack()


def _records(path: Path) -> dict[str, Any]:
    """Return label -> record of its metric, as ``images.csv.provenance.json`` has them; none without this file."""
    try:
        return dict(json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))["columns"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CLIPIQAError(
            f"{path.name}.provenance.json beside {str(path)!r} cannot be read: {error!r:.200}."
        ) from error
