"""``gate``: check whether a second run is worse by more than chance."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

import pandas

from ..errors import CLIPIQAError, ImageError, counted, nearest
from ..errors.arguments import checked
from ..files.names import one_line
from ..files.writing import check_folder, write_bytes, write_text
from ..scoring.directions import Direction, find_direction
from ..scoring.scale import comparable_fields, differences
from ..scoring.score_files import AnyScores, matching_names, read_any_scores
from ..sources.naming import few
from ..stats.bootstrap import Difference, holm
from ..stats.paired_means import FEW, LEVEL, mean_difference, noticed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..scoring.score import ScoringOptions

_SHOWN = (
    *("verdict", "lower_better", "n", "base", "new", "difference", "low", "high", "p", "p_holm", "margin", "noticed"),
    "rounding",
)
WRITTEN = ("gate.json", "gate.xml", "rows.csv")
_ROUNDING = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 3e-4}
"""Share of a closed range by which other threads or processors may change a mean.

Measured with mini on 48 photos, as the change of a mean from two threads and AVX-512 to one thread and AVX2: 3e-8 in
fp32, 1e-3 in bf16. fp16 was not measured on a GPU; it has three bits more than bf16.
"""


class GateError(CLIPIQAError):
    """Two runs that cannot be compared."""


@dataclass(frozen=True)
class ColumnPair:
    """One column, compared in both runs.

    Attributes:
        direction: Whether low or high scores are good, and how this is known.
        n, base, new: Number of rows with scores in both runs, and each run's mean.
        difference: New minus base, with 95 % interval and p-value.
        rounding: Largest mean difference that other threads or another processor may cause.
        noticed: Loss that four of five such runs find.
        margin: Largest loss that is allowed; None: any that may be chance.
        p_holm: p-value, corrected by Holm's rule for all columns without a margin.
    """

    name: str
    direction: Direction
    n: int
    base: float
    new: float
    difference: Difference
    rounding: float
    noticed: float
    margin: float | None = None
    p_holm: float = math.nan

    @property
    def gain(self) -> tuple[float, float]:
        """The interval of the difference, where a gain is positive."""
        low, high = self.difference.low, self.difference.high
        return (-high, -low) if self.direction.lower_better else (low, high)

    @property
    def verdict(self) -> str:
        """``'worse'``, ``'better'`` or ``'no change'``; with a margin ``'pass'``, ``'worse'`` or ``'unclear'``.

        A column passes if its interval excludes a loss of ``margin``, and is worse if it lies beyond. Without
        a margin, a change is more than rounding, its interval excludes 0, and its corrected p-value is below 0.05.
        """
        low, high = self.gain
        if self.margin is not None:
            if self.n < FEW or low <= -self.margin <= high:
                return "unclear"
            return "pass" if low > -self.margin else "worse"
        if abs(self.difference.value) <= self.rounding or low <= 0 <= high or self.p_holm >= LEVEL:
            return "no change"
        return "better" if low > 0 else "worse"

    @property
    def line(self) -> str:
        apart = self.difference
        means = f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}], {self.base:.4f} to {self.new:.4f}"
        return f"{self.name}: {self.verdict}: {means}, n = {self.n}{self._because}, {self.direction}"

    @property
    def _because(self) -> str:
        (low, high), is_few = self.gain, self.n < FEW
        if self.margin is not None:
            if is_few:
                return f", fewer than {FEW} rows"
            if self.verdict == "unclear":
                return f", a loss of {self.margin:g} is not excluded"
            return f", a loss beyond chance, but below {self.margin:g}" if high < 0 and self.verdict == "pass" else ""
        text = f" (a loss of {self.noticed:.2g} would have shown four times in five)"
        if 0 < abs(self.difference.value) <= self.rounding:
            text += f", a difference within rounding ({self.rounding:.0e})"
        elif self.verdict == "no change" and not low <= 0 <= high:
            text += f", p = {self.difference.p:.2g} alone, {self.p_holm:.2g} among all columns"
        return f"{text}, less certain with fewer than {FEW} rows" if is_few else text


@dataclass(frozen=True)
class Gate:
    """Two runs, compared column by column.

    Attributes:
        pairs: The compared columns.
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) for each column.
        left_out: Rows that one run lacks, as a sentence per run.
        flagged: Row -> flag of an image that only the new run flags.
    """

    pairs: tuple[ColumnPair, ...]
    rows: pandas.DataFrame
    base: str
    new: str
    left_out: tuple[str, ...] = ()
    flagged: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["pass", "worse", "unclear"]:
        """``'worse'`` if a column got worse or an image is newly flagged, else ``'unclear'`` if a column is unclear."""
        found = {pair.verdict for pair in self.pairs} | ({"worse"} if self.flagged else set())
        return "worse" if "worse" in found else "unclear" if "unclear" in found else "pass"

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def columns(self) -> pandas.DataFrame:
        """A row per column: verdict, direction, means, difference with interval and p-values, margin."""
        parts = [{**asdict(q.direction), **asdict(q.difference), **vars(q), "verdict": q.verdict} for q in self.pairs]
        frame = pandas.DataFrame(parts).rename(columns={"name": "column"}).set_index("column")
        return frame.assign(difference=frame["value"])[list(_SHOWN)]

    def worst(self, column: str, count: int = 10) -> pandas.Series:
        """Return the rows with the largest loss: row name -> new minus base."""
        found = next(pair for pair in self.pairs if pair.name == column)
        apart = self.rows[f"{column} difference"].dropna()
        return apart.sort_values(ascending=not found.direction.lower_better, kind="stable").head(count)

    def as_dict(self) -> dict[str, Any]:
        columns = [{**asdict(q), "verdict": q.verdict, "worst": self.worst(q.name).to_dict()} for q in self.pairs]
        names = ("verdict", "passed", "base", "new", "left_out", "flagged")
        return {**{name: getattr(self, name) for name in names}, "columns": columns}

    def junit(self) -> bytes:
        """Return a JUnit XML file with a test case per column, and one for newly flagged images if there are any."""
        cases = []
        for pair in self.pairs:
            rows = [f"{name}: {apart:+.4f}" for name, apart in self.worst(pair.name).items()]
            cases.append((pair.name, pair.verdict, pair.line, ["the rows that lost most:", *rows]))
        if self.flagged:
            rows = [f"{name}: {flag}" for name, flag in self.flagged.items()]
            cases.append(("flag", "worse", f"{counted(len(rows), 'image')} newly flagged", rows))
        failed = [case for case in cases if case[1] in ("worse", "unclear")]
        counts = {"tests": str(len(cases)), "failures": str(len(failed))}
        suites = ElementTree.Element("testsuites", {"name": "clipiqa gate", **counts})
        suite = ElementTree.SubElement(suites, "testsuite", {"name": f"{self.base} → {self.new}", **counts})
        for name, verdict, message, rows in cases:
            case = ElementTree.SubElement(suite, "testcase", {"classname": "clipiqa.gate", "name": one_line(name)})
            if verdict in ("worse", "unclear"):
                failure = ElementTree.SubElement(case, "failure", {"type": verdict, "message": one_line(message)})
                failure.text = "\n".join(map(one_line, rows))
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites) + b"\n"

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write ``gate.json``, ``gate.xml`` (JUnit) and ``rows.csv`` (every row).

        Raises:
            OutputError: A file cannot be written, or exists and ``overwrite`` is not set.
        """
        folder = check_folder(folder, WRITTEN, overwrite=overwrite, inputs=(self.base, self.new))
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
    metrics: Any = None,
    margin: float | Mapping[str, float] | None = None,
    lower_better: Iterable[str] | bool = (),
    higher_better: Iterable[str] | bool = (),
    skip_missing: bool = False,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int, int | None], object] | None = None,
    **options: Unpack[ScoringOptions],
) -> Gate:
    """Return the comparison of two runs over the same inputs.

    Args:
        base: The first run: a score file (csv, jsonl or parquet) of ``clipiqa score`` or another tool, a folder of
            results by shard, or a folder of images.
        new: The second run.
        columns: Columns to compare; by default all numeric columns.
        key: Column that pairs rows; by default the path below each run's common folder, or, if no path is in both
            runs, the number before the first hyphen of each file's name.
        metrics: Metric that scores folders of images, as for :func:`~clipiqa_pyiqa.score_paths`.
        margin: Largest loss that is allowed, in the column's units: for all columns, or for each one by name.
        lower_better: Columns in which low is good, or True for all; by default the file or the column's name decides.
        higher_better: Columns in which high is good, or True for all.
        skip_missing: Leave out rows that lack a finite score in one run; otherwise raise.
        out: Folder for ``base.parquet``, ``new.parquet`` (scores of folders) and the files of :meth:`Gate.save`.
        resume: Continue with the scores in ``out``.
        overwrite: Replace the files in ``out``.
        progress: Called with the run (``'base'`` or ``'new'``) and the numbers of finished and of all images.
        options: Options of scoring, as in :class:`~clipiqa_pyiqa.scoring.score.ScoringOptions`.

    Returns:
        The verdicts; see :attr:`ColumnPair.verdict`.

    Raises:
        GateError: The runs share no columns or too few rows, or were scored in different ways.
        ScoresError: A file cannot be read, or the good direction is unknown or contradictory.
    """
    given = {"base": os.fspath(base), "new": os.fspath(new)}
    if metrics is not None and not any(map(os.path.isdir, given.values())):
        raise GateError("`metrics` score folders of images, but both runs are score files: leave out `metrics`.")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if out is not None:
            folder = check_folder(out, WRITTEN, overwrite=overwrite or resume, inputs=given.values())
        kept = {"resume": resume, "overwrite": overwrite, **options}
        files = [_scored(path, folder / f"{name}.parquet", metrics, progress, kept) for name, path in given.items()]
        runs = [read_any_scores(file, columns=columns, key=key, option="key") for file in files]
    runs = [replace(run, file=path) for run, path in zip(runs, given.values(), strict=True)]
    names = _shared_columns(runs, columns)
    _check_alike(runs, names)
    directions = _directions(runs, names, lower_better, higher_better)
    margins = _margins(names, margin)
    rows, left_out, paths = _pair_rows(runs, names, key is not None, skip_missing)
    unmargined = len(names) - len(margins)
    found = [_pair_column(name, rows, directions[name], margins.get(name), unmargined, runs) for name in names]
    corrected = iter(holm([pair.difference.p for pair in found if pair.margin is None]))
    pairs = tuple(replace(pair, p_holm=float(next(corrected))) if pair.margin is None else pair for pair in found)
    flagged = _newly_flagged(runs, paths)
    if _has_images(new):
        flagged |= _newly_cut(paths[~paths.index.isin(flagged)])
    gated = Gate(pairs, rows, given["base"], given["new"], tuple(left_out), flagged)
    if out is not None:
        gated.save(out, overwrite=overwrite or resume)
    return gated


def _has_images(path: str | os.PathLike[str]) -> bool:
    return os.path.isdir(path) and not os.path.exists(os.path.join(path, "run.json"))


def _scored(
    path: str,
    target: Path,
    metrics: Any,
    progress: Callable[[str, int, int | None], object] | None,
    options: dict[str, Any],
) -> str | Path:
    """Return the score file of a run; the scores of a folder are written to ``target``."""
    if not os.path.isdir(path):
        return path
    if not _has_images(path):
        from ..scoring.shards.summary import merge_shards

        merge_shards(path, target, overwrite=options["overwrite"] or options["resume"])
        return target
    if metrics is None:
        raise GateError(f"{path!r} is a folder of images: name the metrics that score them (`metrics`).")
    from ..scoring.score import score_paths  # loads torch

    run = score_paths(metrics, path, out=target, **options)
    total = None if run.names is None else run.earlier.kept + len(run.names)
    for done, _ in enumerate(run, run.earlier.kept + 1):
        if progress is not None:
            progress(target.stem, done, total)
    return target


def _margins(names: Sequence[str], margin: float | Mapping[str, float] | None) -> dict[str, float]:
    given = margin if isinstance(margin, Mapping) else {} if margin is None else dict.fromkeys(names, margin)
    for name, loss in given.items():
        if name not in names:
            raise GateError(f"`margin` names {name!r}, which is not compared: {nearest(name, names)}")
        if not 0 < loss < math.inf:
            raise GateError(f"`margin` must be above 0, in the column's units; got {loss!r}.")
    return dict(given)


def _newly_flagged(runs: Sequence[AnyScores], paths: pandas.DataFrame) -> dict[str, str]:
    base, new = runs
    pairs = paths.itertuples()
    return {row: new.flags[now] for row, was, now in pairs if now in new.flags and was not in base.flags}


def _newly_cut(paths: pandas.DataFrame) -> dict[str, str]:
    """Return the rows whose new image has a band of one colour that the base image lacks."""
    from ..images.batches import prefetch
    from ..images.flags import has_band
    from ..images.reader import read_image

    read = partial(read_image, min_side=1, damaged="keep")
    found = {}
    for (row, was, _), image in prefetch(lambda item: read(item[2]), paths.itertuples()):
        with contextlib.suppress(ImageError):
            if not isinstance(image, ImageError) and has_band(image.pixels) and not has_band(read(was).pixels):
                found[row] = "cut"
    return found


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
        found = differences(*(comparable_fields(run.provenance, names) for run in runs))
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
    runs: Sequence[AnyScores], names: Sequence[str], has_key: bool, skip_missing: bool
) -> tuple[pandas.DataFrame, list[str], pandas.DataFrame]:
    """Return both runs' scores, a sentence per run with missing rows, and both runs' row names."""
    indices = [list(map(str, run.frame.index)) for run in runs]
    if not has_key:
        indices = matching_names(*indices)
        if not set.intersection(*map(set, indices)):
            indices = _by_number(indices)
    frames = [run.frame.set_axis(index)[names] for run, index in zip(runs, indices, strict=True)]
    for run, frame in zip(runs, frames, strict=True):
        if frame.index.has_duplicates:
            twice = frame.index[frame.index.duplicated()][0]
            raise GateError(f"{run.file!r} has two rows for {twice!r}: name a column whose values differ (`key`).")
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
    named = [(run.file, union[rows]) for run, rows in zip(runs, lacking, strict=True)]
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
    paths = {
        side: pandas.Series(run.frame.index, index)[shared]
        for side, run, index in zip(("base", "new"), runs, indices, strict=True)
    }
    return pandas.DataFrame(paired, index=shared.rename("row")), left_out, pandas.DataFrame(paths)


def _by_number(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the numbers before files' first hyphens (``12-b7e0.png``), if they tell rows apart."""
    found = [[re.match(r"\d+(?=-)", os.path.basename(name)) for name in run] for run in names]
    numbers = [[match[0] if match else "" for match in run] for run in found]
    return numbers if all("" not in run and len({*run}) == len(run) for run in numbers) else list(map(list, names))


def _pair_column(
    name: str,
    rows: pandas.DataFrame,
    direction: Direction,
    margin: float | None,
    columns: int,
    runs: Sequence[AnyScores],
) -> ColumnPair:
    before, after = rows[[f"{name} base", f"{name} new"]].dropna().to_numpy(float).T
    fewest = 2 if margin is not None else math.floor(math.log2(columns / LEVEL)) + 2
    if len(before) < fewest:
        raise GateError(
            f"{name!r} has finite scores of {counted(len(before), 'row')} in both runs, but {fewest} or more are "
            f"needed for {counted(columns, 'column')}: with fewer rows, all differences may have the same sign by "
            "chance."
        )
    apart = mean_difference(after, before)
    if math.isnan(apart.p):
        raise GateError(f"{name!r} has no interval: its scores are too large.")
    rounding = _rounding(name, runs, max(abs(before).max(), abs(after).max()))
    loss = max(rounding, noticed(after - before, LEVEL / max(1, columns)))
    return ColumnPair(
        name, direction, len(before), float(before.mean()), float(after.mean()), apart, rounding, loss, margin
    )


def _rounding(name: str, runs: Sequence[AnyScores], largest: float) -> float:
    for run in runs:
        if name in run.scales:
            low, high = run.scales[name].low, run.scales[name].high
            if low is not None and high is not None:
                record = {**run.provenance, **run.provenance.get("scores", {}).get(name, {})}
                return (high - low) * _ROUNDING[record.get("precision", "fp32")]
    return float(largest) * 1e-6


def _as_text(cell: str) -> str:
    # a spreadsheet would run the cell as a formula
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
