"""``gate``: check whether a second run is worse by more than chance."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from xml.etree import ElementTree

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
from ..stats.paired_means import FEW, FEWEST, mean_difference


class GateError(CLIPIQAError):
    """Two runs that cannot be compared."""


@dataclass(frozen=True)
class ColumnPair:
    """One column, compared in both runs.

    Attributes:
        direction: Whether low or high scores are good, and how this is known.
        n, base, new: Number of rows with scores in both runs, and each run's mean.
        difference: New minus base, with 95 % interval and p-value.
        min_delta: Largest mean difference that counts as no change.
        p_holm: p-value, corrected by Holm's rule for all columns.
    """

    name: str
    direction: Direction
    n: int
    base: float
    new: float
    difference: Difference
    min_delta: float
    p_holm: float = math.nan

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``.

        A change is a mean difference above ``min_delta`` whose interval excludes 0.
        """
        apart = self.difference
        if abs(apart.value) <= self.min_delta or apart.low <= 0 <= apart.high:
            return "no change"
        return "better" if (apart.value < 0) == self.direction.lower_better else "worse"

    @property
    def line(self) -> str:
        apart = self.difference
        means = f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}], {self.base:.4f} to {self.new:.4f}"
        warning = f", less certain with fewer than {FEW} rows" if self.n < FEW else ""
        return f"{self.name}: {self.verdict}: {means}, n = {self.n}{warning}, {self.direction}"


@dataclass(frozen=True)
class Gate:
    """Two runs, compared column by column.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        left_out: Rows that one run lacks, as a sentence per run.
    """

    questions: tuple[ColumnPair, ...]
    rows: pandas.DataFrame
    base: str
    new: str
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no column got worse."""
        return not any(question.verdict == "worse" for question in self.questions)

    def worst(self, question: str, count: int = 10) -> pandas.Series:
        """Return the rows with the largest loss: row name -> new minus base."""
        found = next(q for q in self.questions if q.name == question)
        apart = self.rows[f"{question} difference"].dropna()
        return apart.sort_values(ascending=not found.direction.lower_better, kind="stable").head(count)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``gate.json``."""
        questions = [{**asdict(q), "verdict": q.verdict, "worst": self.worst(q.name).to_dict()} for q in self.questions]
        about = {"passed": self.passed, "base": self.base, "new": self.new, "left_out": self.left_out}
        return {**about, "questions": questions}

    def junit(self) -> bytes:
        """Return a JUnit XML file with a test case per column."""
        failed = sum(q.verdict == "worse" for q in self.questions)
        counts = {"tests": str(len(self.questions)), "failures": str(failed)}
        suites = ElementTree.Element("testsuites", {"name": "clipiqa gate", **counts})
        suite = ElementTree.SubElement(suites, "testsuite", {"name": f"{self.base} → {self.new}", **counts})
        for question in self.questions:
            about = {"classname": "clipiqa.gate", "name": one_line(question.name)}
            case = ElementTree.SubElement(suite, "testcase", about)
            if question.verdict == "worse":
                failure = ElementTree.SubElement(case, "failure", {"type": "worse", "message": one_line(question.line)})
                rows = [f"{one_line(str(name))}: {apart:+.4f}" for name, apart in self.worst(question.name).items()]
                failure.text = "\n".join(["the rows that lost most:", *rows])
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites) + b"\n"

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row).

        Raises:
            OutputError: A file cannot be written, or exists and ``overwrite`` is not set.
        """
        names, inputs = ("gate.json", "gate.xml", "rows.csv"), (self.base, self.new)
        folder = check_folder(folder, names, overwrite=overwrite, inputs=inputs)
        write_text(folder / "gate.json", json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n")
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
        skip_missing: Leave out rows that lack a finite score in one run; otherwise raise.

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
    return Gate(questions, rows, str(base), str(new), tuple(left_out))


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
            raise GateError(f"{file!r} has two rows for {twice!r}: name a column whose values differ (`key`).")
    base, new = (frame.replace([math.inf, -math.inf], math.nan) for frame in frames)
    shared = base.index.intersection(new.index, sort=False)
    if not len(shared):
        raise GateError(
            f"the runs share no row ({few(list(base.index[:3]))} against {few(list(new.index[:3]))}): rows are "
            "paired by their path below each run's common folder, or by a key column (`key`)."
        )
    union = base.index.union(new.index, sort=False)
    has_score = [frame.reindex(union).notna() for frame in (base, new)]
    lacking = [(other & ~own).any(axis=1) for own, other in (has_score, has_score[::-1])]
    named = [(file, union[rows]) for file, rows in zip(files, lacking, strict=True)]
    left_out = [f"{file!r} has no finite score of {few(map(str, rows))}" for file, rows in named if len(rows)]
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
    before, after = rows[[f"{name} base", f"{name} new"]].dropna().to_numpy(float).T
    if len(before) < FEWEST:
        raise GateError(
            f"{name!r} has finite scores of {counted(len(before), 'row')} in both runs, but {FEWEST} or more are "
            "needed: with fewer rows, all differences may have the same sign by chance."
        )
    apart = mean_difference(after, before)
    if math.isnan(apart.p):
        raise GateError(f"{name!r} has no interval: its scores are too large.")
    return ColumnPair(name, direction, len(before), float(before.mean()), float(after.mean()), apart, min_delta)


def _as_text(cell: str) -> str:
    # a spreadsheet would run the cell as a formula
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
