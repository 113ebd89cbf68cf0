"""``gate``: two runs over the same inputs, and whether the second got worse by more than chance."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ..errors import CLIPIQAError, counted, nearest
from ..errors.arguments import checked
from ..files.names import one_line
from ..files.writing import check_folder, write_bytes, write_text
from ..scoring.directions import Direction, find_direction
from ..scoring.scale import alike, differences
from ..scoring.score_files import AnyScores, matching_names, read_any_scores
from ..sources.naming import few
from ..stats.bootstrap import Difference, holm
from ..stats.paired_means import FEW, FEWEST, mean_difference, sign_test
from .differences import SIGNIFICANT

if TYPE_CHECKING:
    import pandas

_MADE_BY = "clipiqa gate"


class GateError(CLIPIQAError):
    """Two runs that cannot be compared."""


@dataclass(frozen=True)
class ColumnPair:
    """One column of both runs.

    Attributes:
        name: Of the column.
        direction: Whether a low or a high value is good, and how that is known.
        n: Rows with a finite score in both runs; the means and the interval are theirs.
        base: Mean of the first run; NaN where there are too few finite scores.
        new: Mean of the second, likewise.
        difference: New less base, of the rows' pairs, with its 95 % interval and p; where there are too few finite
            scores, value and interval are NaN, and p is the sign test's of ``infinite_worse`` and ``infinite_better``.
        min_delta: What the mean must be worse by to count.
        infinite_equal: Rows with the same infinite score in both runs.
        infinite_worse: Rows with an infinite score in one run, or opposite ones, which got worse.
        infinite_better: Likewise, which got better.
        p_holm: The p-value, corrected by Holm's rule for all columns.
    """

    name: str
    direction: Direction
    n: int
    base: float
    new: float
    difference: Difference
    min_delta: float
    infinite_equal: int = 0
    infinite_worse: int = 0
    infinite_better: int = 0
    p_holm: float = math.nan

    @property
    def lower_better(self) -> bool:
        """Whether a low value is good."""
        return self.direction.lower_better

    @property
    def verdict(self) -> str:
        """``'worse'`` or ``'better'``: by more than ``min_delta``, 0 outside the interval; else ``'no change'``.

        Rows with an infinite score in one run decide, too, where more of them go one way than chance allows.
        """
        sign = -1.0 if self.lower_better else 1.0
        mean = sign * self.difference.value
        low, high = sorted((sign * self.difference.low, sign * self.difference.high))
        gained = self.infinite_better - self.infinite_worse
        if sign_test(self.infinite_worse, self.infinite_better) >= SIGNIFICANT:
            gained = 0
        if gained < 0 or (mean < -self.min_delta and high < 0):
            return "worse"
        return "better" if gained > 0 or (mean > self.min_delta and low > 0) else "no change"

    @property
    def line(self) -> str:
        """All of it in a line."""
        apart, parts = self.difference, [f"n = {self.n}", str(self.direction)]
        if not math.isnan(apart.value):
            mean = f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
            parts = [mean, f"{self.base:.4f} to {self.new:.4f}", *parts]
        if in_one := self.infinite_worse + self.infinite_better:
            parts.append(f"infinite in one run: {self.infinite_worse} worse, {self.infinite_better} better")
        if self.infinite_equal:
            parts.append(f"infinite in both: {self.infinite_equal}, left out")
        if self.infinite_equal or in_one:
            parts.append("the mean is of the finite scores")
        return f"{self.name}: {self.verdict}: {', '.join(parts)}"

    def as_dict(self) -> dict[str, Any]:
        """What ``gate.json`` holds of it, but for the rows: NaN is null and infinity a text, as JSON has neither."""
        apart, kept = self.difference, ("min_delta", "infinite_equal", "infinite_worse", "infinite_better")
        numbers = {"base": self.base, "new": self.new, "difference": apart.value, "low": apart.low, "high": apart.high}
        numbers |= {"p": apart.p, "p_holm": self.p_holm}
        return {
            "name": self.name,
            "verdict": self.verdict,
            "n": self.n,
            "better": "lower" if self.lower_better else "higher",
            "known_by": self.direction.known_by,
            "because": self.direction.because,
            **{key: _number(value) for key, value in numbers.items()},
            **{key: getattr(self, key) for key in kept},
        }


@dataclass(frozen=True)
class Gate:
    """Two runs, question by question.

    Attributes:
        questions: What came out.
        rows: Index: the rows' names; per question ``NAME base``, ``NAME new`` and ``NAME difference`` (new less base).
        base: The first file.
        new: The second.
        left_out: Rows that only one of them has, a sentence each.
        settings: What else the verdict depends on.
    """

    questions: tuple[ColumnPair, ...]
    rows: pandas.DataFrame
    base: str
    new: str
    left_out: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing got worse."""
        return not any(question.verdict == "worse" for question in self.questions)

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes a verdict less certain, a sentence each."""
        return tuple(
            f"{q.name} was compared on {counted(q.n, 'row')}: with fewer than {FEW}, the verdict is less certain where "
            "differences are skewed; compare more rows."
            for q in self.questions
            if q.n < FEW and not math.isnan(q.difference.value)
        )

    def worst(self, question: str, count: int = 10) -> pandas.Series:
        """The rows that lost most, by name: the difference, new less base."""
        found = next(q for q in self.questions if q.name == question)
        apart = self.rows[f"{question} difference"].dropna()
        return apart.sort_values(ascending=not found.lower_better, kind="stable").head(count)

    def as_dict(self) -> dict[str, Any]:
        """What ``gate.json`` holds."""
        worst = [{str(name): _number(apart) for name, apart in self.worst(q.name).items()} for q in self.questions]
        questions = [q.as_dict() | {"worst": rows} for q, rows in zip(self.questions, worst, strict=True)]
        about = {"made_by": _MADE_BY, "passed": self.passed, "base": self.base, "new": self.new}
        more = {"notes": list(self.notes), "left_out": list(self.left_out), "settings": dict(self.settings)}
        return about | {"questions": questions} | more

    def junit(self) -> bytes:
        """A JUnit XML file: one test case per question, a failure where it got worse."""
        failed = sum(q.verdict == "worse" for q in self.questions)
        counts = {"tests": str(len(self.questions)), "failures": str(failed), "errors": "0"}
        suites = ElementTree.Element("testsuites", {"name": _MADE_BY, **counts})
        suite = ElementTree.SubElement(suites, "testsuite", {"name": f"{self.base} → {self.new}", **counts})
        for question in self.questions:
            about = {"classname": "clipiqa.gate", "name": one_line(question.name), "time": "0"}
            case, line = ElementTree.SubElement(suite, "testcase", about), one_line(question.line)
            if question.verdict == "worse":
                rows = [f"{one_line(str(name))}: {apart:+.4f}" for name, apart in self.worst(question.name).items()]
                failure = ElementTree.SubElement(case, "failure", {"type": "worse", "message": line})
                failure.text = "\n".join(["the rows that lost most:", *rows])
            else:
                ElementTree.SubElement(case, "system-out").text = line
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites) + b"\n"

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row), in place of an earlier gate's.

        Raises:
            OutputError: A file cannot be written, or is there already and no gate's.
        """
        folder = Path(folder).expanduser()
        names = [name for name in ("gate.json", "gate.xml", "rows.csv") if os.path.lexists(folder / name)]
        folder = check_folder(folder, names, overwrite=overwrite, ours=_is_ours, inputs=(self.base, self.new))
        found = json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(folder / "gate.json", found + "\n")
        write_bytes(folder / "gate.xml", self.junit())
        write_text(folder / "rows.csv", self.rows.rename(index=_as_text, columns=_as_text).to_csv())


@checked
def gate(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    lower_better: Iterable[str] | bool = (),
    higher_better: Iterable[str] | bool = (),
    min_delta: float = 0.0,
    skip_missing: bool = False,
) -> Gate:
    """Compare two runs over the same inputs: two releases of a generator, a quantised model against the original.

    Args:
        base: The score file of the run to compare with: csv, jsonl or parquet, of ``clipiqa score`` or another tool.
        new: The score file of the other run.
        columns: What to compare; default every column of numbers that both have.
        key: The column by which rows belong together; default their paths below each run's common folder, without
            suffix.
        lower_better: Columns of which a low value is good, or True for all. Files of ``clipiqa score`` say it, and of
            other files' columns the names of pyiqa's and other common metrics; of an unknown name, high is good.
        higher_better: Likewise, of which a high value is good.
        min_delta: A mean difference up to this is no change, in the column's units.
        skip_missing: Leave rows that only one run has, or has a score of, out, in place of an error.

    Returns:
        The verdicts; ``passed`` is False where a mean is worse by more than ``min_delta`` and its interval excludes 0,
        or where more rows with an infinite score in one run got worse than chance allows.

    Raises:
        GateError: The runs share no rows, too few, or no columns, or were scored in different ways; or something is
            missing.
        ScoresError: A file cannot be read, or is one of ours that has lost which way its scores point, or contradicts
            ``lower_better`` or ``higher_better``.
    """
    if not 0 <= min_delta < math.inf:
        raise GateError(f"min_delta must be a number from 0 on; got {min_delta!r}.")
    runs = [read_any_scores(path, columns=columns, key=key, option="key") for path in (base, new)]
    names = _shared_columns(runs, columns)
    _check_alike(runs, names)
    directions = _directions(runs, names, lower_better, higher_better)
    rows = [list(map(str, run.frame.index)) for run in runs]
    if key is None:
        rows = matching_names(*rows)
    frames = [run.frame.set_axis(own)[names] for run, own in zip(runs, rows, strict=True)]
    paired, left_out = _paired([run.file for run in runs], frames, skip_missing)
    found = [_column_pair(name, paired, directions[name], min_delta) for name in names]
    corrected = holm([pair.difference.p for pair in found])
    questions = tuple(replace(pair, p_holm=float(p)) for pair, p in zip(found, corrected, strict=True))
    settings = {"min_delta": f"{min_delta:g}", "interval": "95 %"}
    return Gate(questions, paired, str(base), str(new), tuple(left_out), settings)


def _shared_columns(runs: Sequence[AnyScores], asked: Sequence[str] | None) -> list[str]:
    base, new = (run.columns for run in runs)
    shared = [name for name in base if name in new]
    odd = dict.fromkeys(name for name in (*base, *new) if name not in shared)
    if not shared or (odd and asked is None):
        raise GateError(
            f"only one of the runs has {few(odd)}: score both with the same questions, or name columns that both have "
            f"({', '.join(shared) or 'there are none'})."
        )
    return shared


def _check_alike(runs: Sequence[AnyScores], names: Sequence[str]) -> None:
    """Refuse scores that were made in different ways; of files that do not say how, nothing is known."""
    base, new = runs
    if all("scores" in run.provenance for run in runs):
        found = differences(*(alike(run.provenance, names) for run in runs))
    else:
        found = [
            (f"the hash of all that {name!r} depends on", base.scales[name].made, new.scales[name].made)
            for name in names
            if name in base.scales and name in new.scales and base.scales[name] != new.scales[name]
        ]
    if found:
        told = "; ".join(f"{what} is {was} in {base.file!r} and {now} in {new.file!r}" for what, was, now in found)
        raise GateError(f"the runs were scored in different ways: {told}; score both alike.")


def _directions(
    runs: Sequence[AnyScores], names: Sequence[str], low: Iterable[str] | bool, high: Iterable[str] | bool
) -> dict[str, Direction]:
    given: dict[str, bool] = {}
    for option, asked in (("lower_better", low), ("higher_better", high)):
        for name in (names if asked else ()) if isinstance(asked, bool) else asked:
            if name not in names:
                raise GateError(f"{option} names {name!r}, which is not compared: {nearest(name, names)}")
            if name in given:
                raise GateError(f"lower_better and higher_better both name {name!r}: leave it out of one of them.")
            given[name] = option == "lower_better"
    return {name: find_direction(runs, name, given.get(name)) for name in names}


def _paired(
    files: Sequence[str], frames: Sequence[pandas.DataFrame], skip_missing: bool
) -> tuple[pandas.DataFrame, list[str]]:
    """Return both runs' scores of the rows that they share, and a sentence on the rows that one lacks."""
    import pandas

    for file, frame in zip(files, frames, strict=True):
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise GateError(f"{file!r} has two rows for {twice!r}: rows must be told apart by path or by a key column.")
    base, new = frames
    shared = base.index.intersection(new.index, sort=False)
    if not len(shared):
        raise GateError(
            f"the runs share no row ({few(list(base.index[:3]))} against {few(list(new.index[:3]))}): rows belong "
            "together by their path below each run's common folder, or by a key column."
        )
    union = base.index.union(new.index, sort=False)
    there = [frame.reindex(union).notna() for frame in frames]
    lost = [(other & ~own).any(axis=1) for own, other in (there, there[::-1])]
    named = [(file, union[rows]) for file, rows in zip(files, lost, strict=True)]
    left_out = [f"{file!r} has no score of {few(map(str, rows))}" for file, rows in named if len(rows)]
    if left_out and not skip_missing:
        raise GateError(
            f"the runs are not over the same inputs: {'; '.join(left_out)}; complete them, or compare the others "
            "(skip_missing)."
        )
    paired: dict[str, pandas.Series] = {}
    for name in base:
        was, now = base.loc[shared, name], new.loc[shared, name]
        paired |= {f"{name} base": was, f"{name} new": now, f"{name} difference": now - was}
    return pandas.DataFrame(paired, index=shared.rename("row")), left_out


def _column_pair(name: str, paired: pandas.DataFrame, direction: Direction, min_delta: float) -> ColumnPair:
    """Compare a column's finite scores, and count the infinite ones.

    Raises:
        GateError: There are too few scores for a verdict, or the interval is not a number.
    """
    scores = paired[[f"{name} base", f"{name} new"]].dropna().to_numpy(float)
    finite = np.isfinite(scores).all(axis=1)
    before, after = scores[finite].T
    was, now = scores[~finite].T
    rose, fell = int(np.sum(now > was)), int(np.sum(now < was))
    worse, better = (rose, fell) if direction.lower_better else (fell, rose)
    by_sign = sign_test(worse, better)
    if len(before) >= FEWEST:
        apart, means = mean_difference(after, before), (float(before.mean()), float(after.mean()))
        if math.isnan(apart.p):
            raise GateError(
                f"{name!r} has no interval: its scores are too large, up to {np.abs(scores[finite]).max()}."
            )
    elif by_sign < SIGNIFICANT:
        apart, means = Difference(math.nan, p=by_sign), (math.nan, math.nan)
    else:
        raise GateError(
            f"{name!r} has finite scores of {counted(len(before), 'row')} in both runs, but {FEWEST} or more are "
            "needed: of fewer, chance alone may turn every row one way."
        )
    infinite = int(np.sum(now == was)), worse, better
    return ColumnPair(name, direction, len(before), *means, apart, min_delta, *infinite)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else float(value)


def _as_text(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _is_ours(path: Path) -> bool:
    """Return whether a file lies beside a ``gate.json`` of ours, or is it."""
    try:
        return bool(json.loads((path.parent / "gate.json").read_text(encoding="utf-8"))["made_by"] == _MADE_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False
