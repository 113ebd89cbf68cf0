"""``gate``: check whether a second run is worse by more than chance."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas

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

_MADE_BY = "clipiqa gate"
_FILES = ("gate.json", "gate.xml", "rows.csv")


class GateError(CLIPIQAError):
    """Two runs that cannot be compared."""


@dataclass(frozen=True)
class ColumnPair:
    """One column, compared in both runs.

    Attributes:
        direction: Whether low or high scores are good, and how this is known.
        n, base, new: Number of rows with finite scores in both runs, and each run's mean (NaN with too few rows).
        difference: New minus base, with 95 % interval and p-value; with too few rows, only p of the sign test.
        min_delta: Largest mean difference that counts as no change.
        infinite_equal, infinite_worse, infinite_better: Rows with an infinite score that is equal, worse
            or better in the new run.
        p_holm: p-value, corrected by Holm's rule for all columns.
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
        return self.direction.lower_better

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``.

        The verdict is a change if the mean difference is above ``min_delta`` and its interval excludes 0, or if
        infinite scores change in one direction more often than by chance.
        """
        apart, sign = self.difference, -1.0 if self.lower_better else 1.0
        mean = sign * apart.value
        low, high = sorted((sign * apart.low, sign * apart.high))
        gained = self.infinite_better - self.infinite_worse
        if sign_test(self.infinite_worse, self.infinite_better) >= SIGNIFICANT:
            gained = 0
        if gained < 0 or (mean < -self.min_delta and high < 0):
            return "worse"
        return "better" if gained > 0 or (mean > self.min_delta and low > 0) else "no change"

    @property
    def line(self) -> str:
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


@dataclass(frozen=True)
class Gate:
    """Two runs, compared column by column.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        left_out: Rows that one run lacks, as a sentence per run.
        settings: Settings that the verdict depends on.
    """

    questions: tuple[ColumnPair, ...]
    rows: pandas.DataFrame
    base: str
    new: str
    left_out: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no column got worse."""
        return not any(question.verdict == "worse" for question in self.questions)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about verdicts that are less certain."""
        return tuple(
            f"{q.name} was compared on {counted(q.n, 'row')}: with fewer than {FEW} rows, the verdict is less "
            "certain if the differences are skewed; compare more rows."
            for q in self.questions
            if q.n < FEW and not math.isnan(q.difference.value)
        )

    def worst(self, question: str, count: int = 10) -> pandas.Series:
        """Return the rows with the largest loss: row name -> new minus base."""
        found = next(q for q in self.questions if q.name == question)
        apart = self.rows[f"{question} difference"].dropna()
        return apart.sort_values(ascending=not found.lower_better, kind="stable").head(count)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``gate.json``; NaN is null, infinity is text."""
        questions = []
        for pair in self.questions:
            apart = pair.difference
            numbers = {"base": pair.base, "new": pair.new, "difference": apart.value, "low": apart.low}
            numbers |= {"high": apart.high, "p": apart.p, "p_holm": pair.p_holm}
            question = {
                "name": pair.name,
                "verdict": pair.verdict,
                "n": pair.n,
                "better": "lower" if pair.lower_better else "higher",
                "known_by": pair.direction.known_by,
                "because": pair.direction.because,
                **{key: _json_number(value) for key, value in numbers.items()},
                "min_delta": pair.min_delta,
                "infinite_equal": pair.infinite_equal,
                "infinite_worse": pair.infinite_worse,
                "infinite_better": pair.infinite_better,
                "worst": {str(name): _json_number(value) for name, value in self.worst(pair.name).items()},
            }
            questions.append(question)
        about = {"made_by": _MADE_BY, "passed": self.passed, "base": self.base, "new": self.new}
        more = {"notes": list(self.notes), "left_out": list(self.left_out), "settings": dict(self.settings)}
        return {**about, "questions": questions, **more}

    def junit(self) -> bytes:
        """Return a JUnit XML file with a test case per column."""
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
        """Write ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row), and replace files of an earlier gate.

        Raises:
            OutputError: A file cannot be written, or exists and was not written by a gate.
        """
        folder = Path(folder).expanduser()
        names = [name for name in _FILES if os.path.lexists(folder / name)]
        folder = check_folder(folder, names, overwrite=overwrite, ours=_is_ours, inputs=(self.base, self.new))
        content = json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(folder / "gate.json", content + "\n")
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
    """Return the comparison of two runs over the same inputs.

    Args:
        base: Score file of the first run: csv, jsonl or parquet, by ``clipiqa score`` or another tool.
        new: Score file of the second run.
        columns: Columns to compare; by default all numeric columns.
        key: Column that pairs rows; by default the path below each run's common folder.
        lower_better: Columns in which low is good, or True for all; by default the file or the column's name decides.
        higher_better: Columns in which high is good, or True for all.
        min_delta: Largest mean difference that counts as no change, in the column's units.
        skip_missing: Leave out rows that one run lacks; otherwise raise.

    Returns:
        The verdicts; see :attr:`ColumnPair.verdict`.

    Raises:
        GateError: The runs share no columns or too few rows, or were scored in different ways.
        ScoresError: A file cannot be read, or the good direction is unknown or contradictory.
    """
    if min_delta < 0:
        raise GateError(f"min_delta must be at least 0; got {min_delta!r}.")
    runs = [read_any_scores(path, columns=columns, key=key, option="key") for path in (base, new)]
    names = _shared_columns(runs, columns)
    _check_alike(runs, names)
    directions = _directions(runs, names, lower_better, higher_better)
    indices = [list(map(str, run.frame.index)) for run in runs]
    if key is None:
        indices = matching_names(*indices)
    frames = [run.frame.set_axis(index)[names] for run, index in zip(runs, indices, strict=True)]
    rows, left_out = _pair_rows([run.file for run in runs], frames, skip_missing)
    found = [_pair_column(name, rows, directions[name], min_delta) for name in names]
    corrected = holm([pair.difference.p for pair in found])
    questions = tuple(replace(pair, p_holm=float(p)) for pair, p in zip(found, corrected, strict=True))
    settings = {"min_delta": f"{min_delta:g}", "interval": "95 %"}
    return Gate(questions, rows, str(base), str(new), tuple(left_out), settings)


def _shared_columns(runs: Sequence[AnyScores], columns: Sequence[str] | None) -> list[str]:
    base, new = (run.columns for run in runs)
    shared = [name for name in base if name in new]
    others = dict.fromkeys(name for name in (*base, *new) if name not in shared)
    if not shared or (others and columns is None):
        raise GateError(
            f"only one of the runs has {few(others)}: score both runs with the same questions, or name columns that "
            f"both runs have ({', '.join(shared) or 'there are none'})."
        )
    return shared


def _check_alike(runs: Sequence[AnyScores], names: Sequence[str]) -> None:
    base, new = runs
    if all("scores" in run.provenance for run in runs):
        found = differences(*(alike(run.provenance, names) for run in runs))
    else:
        found = [
            (f"the hash of everything that {name!r} depends on", base.scales[name].made, new.scales[name].made)
            for name in names
            if name in base.scales and name in new.scales and base.scales[name] != new.scales[name]
        ]
    if found:
        text = "; ".join(f"{what} is {was} in {base.file!r} and {now} in {new.file!r}" for what, was, now in found)
        raise GateError(f"the runs were scored in different ways: {text}; score both runs in the same way.")


def _directions(
    runs: Sequence[AnyScores], names: Sequence[str], low: Iterable[str] | bool, high: Iterable[str] | bool
) -> dict[str, Direction]:
    given: dict[str, bool] = {}
    for option, columns in (("lower_better", low), ("higher_better", high)):
        for name in (names if columns else ()) if isinstance(columns, bool) else columns:
            if name not in names:
                raise GateError(f"{option} names {name!r}, which is not compared: {nearest(name, names)}")
            if name in given:
                raise GateError(f"lower_better and higher_better both name {name!r}: name it in only one of them.")
            given[name] = option == "lower_better"
    return {name: find_direction(runs, name, given.get(name)) for name in names}


def _pair_rows(
    files: Sequence[str], frames: Sequence[pandas.DataFrame], skip_missing: bool
) -> tuple[pandas.DataFrame, list[str]]:
    for file, frame in zip(files, frames, strict=True):
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise GateError(f"{file!r} has two rows for {twice!r}: name a column whose values differ (key).")
    base, new = frames
    shared = base.index.intersection(new.index, sort=False)
    if not len(shared):
        raise GateError(
            f"the runs share no row ({few(list(base.index[:3]))} against {few(list(new.index[:3]))}): rows are "
            "paired by their path below each run's common folder, or by a key column (key)."
        )
    union = base.index.union(new.index, sort=False)
    has_score = [frame.reindex(union).notna() for frame in frames]
    lacking = [(other & ~own).any(axis=1) for own, other in (has_score, has_score[::-1])]
    named = [(file, union[rows]) for file, rows in zip(files, lacking, strict=True)]
    left_out = [f"{file!r} has no score of {few(map(str, rows))}" for file, rows in named if len(rows)]
    if left_out and not skip_missing:
        raise GateError(
            f"the runs do not have the same inputs: {'; '.join(left_out)}; complete the runs, or leave these rows out "
            "(skip_missing)."
        )
    paired: dict[str, pandas.Series] = {}
    for name in base:
        was, now = base.loc[shared, name], new.loc[shared, name]
        paired |= {f"{name} base": was, f"{name} new": now, f"{name} difference": now - was}
    return pandas.DataFrame(paired, index=shared.rename("row")), left_out


def _pair_column(name: str, rows: pandas.DataFrame, direction: Direction, min_delta: float) -> ColumnPair:
    scores = rows[[f"{name} base", f"{name} new"]].dropna().to_numpy(float)
    finite = np.isfinite(scores).all(axis=1)
    before, after = scores[finite].T
    was, now = scores[~finite].T
    rose, fell = int(np.sum(now > was)), int(np.sum(now < was))
    worse, better = (rose, fell) if direction.lower_better else (fell, rose)
    p_by_sign = sign_test(worse, better)
    if len(before) >= FEWEST:
        apart, means = mean_difference(after, before), (float(before.mean()), float(after.mean()))
        if math.isnan(apart.p):
            raise GateError(
                f"{name!r} has no interval: its scores are too large, up to {np.abs(scores[finite]).max()}."
            )
    elif p_by_sign < SIGNIFICANT:
        apart, means = Difference(math.nan, p=p_by_sign), (math.nan, math.nan)
    else:
        raise GateError(
            f"{name!r} has finite scores of {counted(len(before), 'row')} in both runs, but {FEWEST} or more are "
            "needed: with fewer rows, all differences may have the same sign by chance."
        )
    infinite = int(np.sum(now == was)), worse, better
    return ColumnPair(name, direction, len(before), *means, apart, min_delta, *infinite)


def _json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else float(value)


def _as_text(cell: str) -> str:
    # a spreadsheet would run the cell as a formula
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _is_ours(path: Path) -> bool:
    try:
        return bool(json.loads((path.parent / "gate.json").read_text(encoding="utf-8"))["made_by"] == _MADE_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False
