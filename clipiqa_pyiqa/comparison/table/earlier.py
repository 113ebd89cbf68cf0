"""An earlier table's files ``images.csv`` and ``sets.csv`` beside a table that was computed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    for path, rows in earlier.items():
        causes, records = {}, _records(path)
        for label, record in records.items():
            changed = changes(record, found.records.get(label, {}))
            causes[label] = ", ".join(f"{label} {key} changed" for key, *_ in changed)
            lines += [(f"{label} {key}", was, now, "") for key, was, now in changed]
        before, after = _by_cell(rows), _by_cell(found.scores, found.sets)
        of_methods = after.index[after.index.isin(before.index.unique("method"), level="method")]
        index = before.index.union(of_methods, sort=False)
        names = [name for name in dict.fromkeys([*HASHES, *records, *found.labels]) if name in before]
        before, after = (each.reindex(index, columns=names) for each in (before, after))
        was, now = (each.apply(pandas.to_numeric, errors="coerce") for each in (before, after))
        before, after = (each.astype(object).fillna("").astype(str) for each in (before, after))
        differs = (before != after) & ~((was - now).abs() <= _ROUNDING * was.abs().clip(lower=1))
        for cell, row in differs[differs.any(axis=1)].iterrows():
            files = ", ".join(f"{what} changed" for name, what in HASHES.items() if row.get(name))
            for name in row.index[row]:
                what = " ".join([*filter(None, (cell[1], cell[2] or cell[0])), name])
                why = "" if name in HASHES else files or causes.get(name) or _ELSEWHERE
                lines.append((what, before.at[cell, name] or "nothing", after.at[cell, name] or "nothing", why))
    return pandas.DataFrame(lines, columns=["what", "was", "now", "why"])


def _by_cell(*frames: pandas.DataFrame) -> pandas.DataFrame:
    return pandas.concat(frames).fillna({"image": ""}).drop_duplicates(CELL).set_index(CELL)


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
