"""Whether two runs were scored in the same way, and which of their columns are compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ...errors import CLIPIQAError
from ...text import few
from ..results.columns import changes, column_changes, is_same_fingerprint
from ..results.scales import SHORT_LENGTH
from ..results.scores import Scores


def comparable_runs(
    base: Scores, new: Scores, by: Sequence[str] | None, scored: Collection[str]
) -> tuple[list[Scores], list[str], list[str]]:
    """Return both runs, the columns to compare, and notes; raise if the runs were scored in different ways.

    A new column takes the name of the base's column with the same fingerprint. If this call ``scored`` a run, only its
    columns are compared.
    """
    known = {column.fingerprint[:SHORT_LENGTH]: name for name, column in base.columns.items() if column.fingerprint}
    renamed = {
        name: was
        for name, column in new.columns.items()
        if name in new.names and (was := known.get(column.fingerprint[:SHORT_LENGTH], name)) not in new.names
    }
    notes = [f"{name!r} of {new.file!r} is {was!r} of {base.file!r}: one metric" for name, was in renamed.items()]
    columns = {renamed.get(name, name): column for name, column in new.columns.items()}
    new = replace(new, frame=new.frame.rename(columns=renamed), columns=columns)

    both = [name for name in base.names if name in new.names]
    names = _names_to_compare(base, new, by, scored)
    if others := {*base.names, *new.names}.difference(names):
        notes.append(f"not compared, as not asked for: {few(sorted(others))}")
    if lacking := [name for name in names if name not in both]:
        raise CLIPIQAError(
            f"not in both runs: {few(lacking)}; score both by the same metrics, or name columns that both have, with "
            f"`{{by}}` ({', '.join(both) or 'there are none'}).",
            options=("by",),
        )

    differing = changes(base.reading, new.reading) if base.reading and new.reading else []
    for name in names:
        before = base.columns.get(name)
        after = new.columns.get(name)
        if before and after and not is_same_fingerprint(before.fingerprint, after.fingerprint):
            whole = (f"the hash of everything that {name!r} depends on", before.fingerprint, after.fingerprint)
            differing += [whole] if "hash" in {*before.record, *after.record} else column_changes(before, after)
    if differing:
        text = "; ".join(f"{what} is {was} in {base.file!r} and {now} in {new.file!r}" for what, was, now in differing)
        raise CLIPIQAError(f"the runs were scored in different ways: {text}; score both runs in the same way.")

    versions = ({**run.reading.get("versions", {}), **run.reading.get("decoders", {})} for run in (base, new))
    if base.reading and new.reading and (newer := changes(*versions)):
        text = ", ".join(f"{what} {was} and {now}" for what, was, now in newer)
        notes.append(f"base and new run were scored by different versions: {text}")
    return [base, new], names, notes


def _names_to_compare(base: Scores, new: Scores, by: Sequence[str] | None, scored: Collection[str]) -> list[str]:
    """Return the columns that were asked for; else those of the runs that this call scored; else those of both."""
    if by:
        return list(dict.fromkeys(by))
    names = list[str]()
    if "base" in scored or not scored:
        names += base.names
    if "new" in scored or not scored:
        names += new.names
    return list(dict.fromkeys(names))
