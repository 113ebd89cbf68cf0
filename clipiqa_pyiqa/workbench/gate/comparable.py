"""Whether two runs were scored in the same way, and which of their columns are compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...errors import CLIPIQAError
from ...text import few
from ..results.columns import changes, column_changes, is_same_fingerprint
from ..results.scales import SHORT_LENGTH
from ..results.scores import Scores


class ComparableRuns(NamedTuple):
    """Two runs that were scored in the same way: the base and the new one, the columns to compare, and notes."""

    runs: list[Scores]
    names: list[str]
    notes: list[str]


def comparable_runs(
    base: Scores, new: Scores, by: Sequence[str] | None, scored_sides: Collection[str]
) -> ComparableRuns:
    """Return both runs, the columns to compare, and notes; raise if the runs were scored in different ways.

    A new column takes the name of the base's column with the same fingerprint. If this call scored one side or both,
    only their columns are compared.
    """
    name_in_base = _names_in_base(base, new)
    columns = {name_in_base.get(name, name): column for name, column in new.columns.items()}
    renamed = replace(new, frame=new.frame.rename(columns=name_in_base), columns=columns)
    names = _names_to_compare(base, renamed, by, scored_sides)
    _check_in_both(base, renamed, names)
    _check_scored_alike(base, renamed, names)
    notes = [f"{name!r} of {new.file!r} is {was!r} of {base.file!r}: one metric" for name, was in name_in_base.items()]
    others = {*base.names, *renamed.names}.difference(names)
    if others:
        notes.append(f"not compared, as not asked for: {few(sorted(others))}")
    notes += _note_on_versions(base, renamed)
    return ComparableRuns([base, renamed], names, notes)


def _names_in_base(base: Scores, new: Scores) -> dict[str, str]:
    """Return new column -> the base's column with the same fingerprint, unless the new run has that name already."""
    known = {column.fingerprint[:SHORT_LENGTH]: name for name, column in base.columns.items() if column.fingerprint}
    names_in_base = {}
    for name, column in new.columns.items():
        name_in_base = known.get(column.fingerprint[:SHORT_LENGTH], name)
        if name in new.names and name_in_base not in new.names:
            names_in_base[name] = name_in_base
    return names_in_base


def _check_in_both(base: Scores, new: Scores, names: Sequence[str]) -> None:
    both = [name for name in base.names if name in new.names]
    if lacking := [name for name in names if name not in both]:
        raise CLIPIQAError(
            f"not in both runs: {few(lacking)}; score both by the same metrics, or name columns that both have, with "
            f"`by` ({', '.join(both) or 'there are none'}).",
            options=("by",),
        )


def _check_scored_alike(base: Scores, new: Scores, names: Sequence[str]) -> None:
    differing = changes(base.reading, new.reading) if base.reading and new.reading else []
    for name in names:
        before = base.columns.get(name)
        after = new.columns.get(name)
        if before and after and not is_same_fingerprint(before.fingerprint, after.fingerprint):
            if "hash" in {*before.record, *after.record}:  # a file with no more of the record than its hash
                what = f"the hash of everything that {name!r} depends on"
                differing.append((what, before.fingerprint, after.fingerprint))
            else:
                differing += column_changes(before, after)
    if differing:
        text = "; ".join(f"{what} is {was} in {base.file!r} and {now} in {new.file!r}" for what, was, now in differing)
        raise CLIPIQAError(f"the runs were scored in different ways: {text}; score both runs in the same way.")


def _note_on_versions(base: Scores, new: Scores) -> list[str]:
    """Return a sentence if the runs were scored by different versions of the package or of what it uses."""
    if not base.reading or not new.reading:
        return []
    versions = ({**run.reading.get("versions", {}), **run.reading.get("decoders", {})} for run in (base, new))
    text = ", ".join(f"{what} {was} and {now}" for what, was, now in changes(*versions))
    return [f"base and new run were scored by different versions: {text}"] if text else []


def _names_to_compare(base: Scores, new: Scores, by: Sequence[str] | None, scored_sides: Collection[str]) -> list[str]:
    """Return the columns that were asked for; else those of the sides that this call scored; else those of either."""
    if by:
        return list(dict.fromkeys(by))
    names = list[str]()
    if "base" in scored_sides or not scored_sides:
        names += base.names
    if "new" in scored_sides or not scored_sides:
        names += new.names
    return list(dict.fromkeys(names))
