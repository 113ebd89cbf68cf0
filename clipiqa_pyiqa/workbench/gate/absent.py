"""Which rows of two runs have no partner or no score, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame, Series

from ...errors import Kind
from ...text import counted, few, first_of
from ..results.error_texts import error_without_name
from ..results.failures import UNREAD
from ..results.scores import Scores
from .accepted import Accepted
from .findings import Finding
from .pairing import Pairing

FEWEST_COMPARED = 0.9
"""Share of the base's images that the new run must have scores of: below, nothing passes."""


@dataclass(frozen=True)
class Absent:
    """The rows that have no partner or no score.

    Attributes:
        base_only, new_only: Rows of one run alone.
        damaged: Row -> why an image of either run cannot be read.
        lacking: Row -> remark, of rows in both runs that lack a score.
        details: Sentences about missing scores.
        unscored: Sentences about columns without any score in a run.
        base_count: Number of images in the base.
    """

    base_only: Sequence[str]
    new_only: Sequence[str]
    damaged: Mapping[str, str]
    lacking: Mapping[str, str]
    details: Sequence[str]
    unscored: Sequence[str]
    base_count: int

    def findings(self, accepted: Accepted) -> list[Finding]:
        """Return what is missing; each finding says whether it is accepted."""
        findings = []
        if self.new_only:
            reason = f"{counted(len(self.new_only), 'image')} in the new run only"
            rows = dict.fromkeys(self.new_only, "not in the base")
            details = [f"the base lacks {few(self.new_only)}"]
            findings.append(Finding("new", reason, reason, rows, details, accepted.new))
        if self.damaged:
            reason = f"{counted(len(self.damaged), 'image')} cannot be read"
            findings.append(Finding("damaged", reason, f"{reason}: {few(self.damaged)}", self.damaged, self._damage()))
        if self.unscored:
            findings.append(Finding("scores", "a column has no scores", "a column has no scores", {}, self.unscored))
        count = len(self.base_only) + len(self.lacking)
        if count:
            findings.append(self._missing(count, accepted.count_of(self.base_count)))
        has_other_failure = any(finding.name != "new" and not finding.is_accepted for finding in findings)
        if not has_other_failure:
            findings += self._too_few()
        return findings

    def _damage(self) -> list[str]:
        first = list(self.damaged.values())[:5]
        hidden = len(self.damaged) - len(first)
        return [*first, f"and {hidden:,} more"] if hidden else first

    def _missing(self, count: int, most: int) -> Finding:
        """Return the finding of images that the new run lacks or one run did not score; up to ``most`` are accepted."""
        phrases = []
        if self.base_only:
            phrases.append(f"{counted(len(self.base_only), 'image')} missing in the new run")
        if self.lacking:
            phrases.append(f"{counted(len(self.lacking), 'image')} without a score in one run")
        reason = " and ".join(phrases)
        sentence = f"{reason} (of {self.base_count:,} in the base; allowed: {most:,})"
        rows = {**dict.fromkeys(self.base_only, "missing in the new run"), **self.lacking}
        details = [*self.details]
        if self.base_only:
            details.insert(0, f"the new run lacks {few(self.base_only)}")
        return Finding("missing", reason, sentence, rows, details, count <= most)

    def _too_few(self) -> list[Finding]:
        compared = self.base_count - len(self.base_only) - len(self.lacking)
        share = compared / self.base_count
        if share >= FEWEST_COMPARED:
            return []
        reason = f"only {compared:,} of the base's {counted(self.base_count, 'image')} compared"
        return [Finding("compared", reason, f"{reason} ({share:.0%}): a verdict needs {FEWEST_COMPARED:.0%}")]


def absent_rows(pairing: Pairing, names: Sequence[str], scored: Sequence[str], runs: Sequence[Scores]) -> Absent:
    """Return what is missing in two runs.

    Args:
        names: The compared columns.
        scored: Those with scores in both runs.
    """
    damaged = _damaged(pairing, runs)
    rows = pairing.rows.drop(index=[row for row in damaged if row in pairing.rows.index])
    paths = pairing.paths.loc[rows.index]
    lacking = dict[str, str]()
    for name in reversed(scored):  # so that the first column that lacks a score is named
        lacking |= dict.fromkeys(rows.index[is_lacking(name, rows)], name)
    return Absent(
        [row for row in pairing.base_only if row not in damaged],
        [row for row in pairing.new_only if row not in damaged],
        damaged,
        {row: f"without a score of {name!r} in one run or both" for row, name in lacking.items()},
        [line for name in scored for line in _lost_scores(name, rows, paths, runs)],
        [line for name in names if name not in scored for line in _lost_scores(name, rows, paths, runs)],
        pairing.base_count,
    )


def is_lacking(name: str, rows: DataFrame) -> Series:
    """Return for each row whether it has no difference, unless its scores are the same infinite number."""
    return rows[f"{name} difference"].isna() & ~is_equal_infinite(name, rows)


def is_equal_infinite(name: str, rows: DataFrame) -> Series:
    """Return for each row whether its scores are the same infinite number."""
    new = rows[f"{name} new"]
    return (rows[f"{name} base"] == new) & np.isinf(new)


def _damaged(pairing: Pairing, runs: Sequence[Scores]) -> dict[str, str]:
    """Return row -> why an image of either run cannot be read."""
    names_of_runs = [
        {**pairing.paths["base"], **pairing.base_only},
        {**pairing.paths["new"], **pairing.new_only},
    ]
    damaged = {}
    for run, names in zip(runs, names_of_runs, strict=True):
        if not run.is_ours or "kind" not in run.other:
            continue
        kinds = run.other["kind"].to_dict()
        errors = run.errors
        for row, name in names.items():
            if kinds.get(name) in UNREAD and kinds[name] != Kind.MISSING:
                damaged[row] = errors.get(name, f"{name!r} cannot be read")
    return damaged


def _lost_scores(name: str, rows: DataFrame, paths: DataFrame, runs: Sequence[Scores]) -> Iterator[str]:
    """Yield which images have no score, with flags and the first reasons, or are infinite in one run only."""
    for side, run in zip(paths, runs, strict=True):
        flags = run.flags
        lacking = paths[side][rows[f"{name} {side}"].isna()]
        if len(lacking):
            images = few(f"{row} ({flags[path]})" if path in flags else row for row, path in lacking.items())
            reasons = first_of(_differing_errors(lacking, run.errors), 5)
            where = f"{name!r} has no score of {counted(len(lacking), 'image')} in {run.file!r}"
            yield f"{where}: {images}. {reasons}".strip()
    base, new, difference = (rows[f"{name} {what}"] for what in ("base", "new", "difference"))
    is_lost = difference.isna() & base.notna() & new.notna() & (base != new)
    if is_lost.any():
        images = few(rows.index[is_lost])
        yield f"{name!r} is infinite in one run only for {counted(is_lost.sum(), 'image')}: {images}"


def _differing_errors(paths: Iterable[str], errors: Mapping[str, str]) -> list[str]:
    """Return the errors of images, of those that differ in the image's name alone only the last."""
    error_by_reason = {error_without_name(path, errors[path]): errors[path] for path in paths if path in errors}
    return list(error_by_reason.values())
