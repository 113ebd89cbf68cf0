"""Which rows of two runs belong together, and which one of them lacks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

from pandas import DataFrame, concat

from ...errors import CLIPIQAError
from ...text import counted, few, first_of
from ..names.matching import match
from ..results.scores import Scores


def pair_rows(
    runs: Sequence[Scores], names: Sequence[str], has_key: bool, skip_missing: bool
) -> tuple[DataFrame, list[str], DataFrame]:
    """Return both runs' scores, a sentence per run with missing rows, and both runs' row names."""
    indices = _row_names(runs, has_key)
    frames = {}
    for side, run, index in zip(("base", "new"), runs, indices, strict=True):
        frame = run.frame[names].assign(**{"": run.frame.index}).set_axis(index)
        twice = frame.index[frame.index.duplicated()]
        if len(twice):
            raise CLIPIQAError(
                f"{run.file!r} has two rows for {twice[0]!r}: name a column whose values differ (`key`)."
            )
        frames[side] = frame
    both = concat(frames, axis=1)
    paths = both.xs("", axis=1, level=1)
    if paths.dropna().empty:
        raise CLIPIQAError(
            f"the runs share no row ({few(indices[0][:3])} against {few(indices[1][:3])}): rows are "
            "paired by their path below each run's common folder, without suffix if no two are then equal, or by a "
            "key column (`key`)."
        )
    left_out = [
        f"{run.file!r} lacks {counted(len(lacking), 'row')}: {few(lacking)}"
        for run, side in zip(runs, paths, strict=True)
        if len(lacking := paths.index[paths[side].isna()])
    ]
    paths = paths.dropna()
    if left_out and not skip_missing:
        raise CLIPIQAError(
            f"the runs do not have the same inputs: {'; '.join(left_out)}; complete the runs, or leave these rows out "
            "(skip_missing)."
        )
    columns = {}
    for name in names:
        base = both["base", name]
        new = both["new", name]
        difference = (new - base).replace([math.inf, -math.inf], math.nan)
        columns.update({f"{name} base": base, f"{name} new": new, f"{name} difference": difference})
    return DataFrame(columns, paths.index.rename("row")), left_out, paths


def _row_names(runs: Sequence[Scores], has_key: bool) -> list[list[str]]:
    """Return the texts by which both runs' rows are paired, in the rows' order.

    These are the keys; or the names' forms that :func:`match` compares; or, if it finds no pair, the numbers with which
    all files begin, as in ``12-b7e0.png``.
    """
    base_names = list(runs[0].frame.index)
    new_names = list(runs[1].frame.index)
    if has_key:
        return [base_names, new_names]
    shared = match(base_names, new_names)
    base_texts = [shared.first[name] for name in base_names]
    new_texts = [shared.second[name] for name in new_names]
    if not shared.pairs:
        base_numbers = _leading_texts(base_texts)
        new_numbers = _leading_texts(new_texts)
        if all(number.isdecimal() for number in (*base_numbers, *new_numbers)):
            return [base_numbers, new_numbers]
    return [base_texts, new_texts]


def _leading_texts(names: Sequence[str]) -> list[str]:
    """Return the text before the first hyphen of each file's name."""
    return [os.path.basename(name).partition("-")[0] for name in names]


def lost_rows(name: str, rows: DataFrame, paths: DataFrame, runs: Sequence[Scores]) -> Iterator[str]:
    """Yield which images have no score, with flags and the first reasons, or are infinite in one run only."""
    for side, run in zip(paths, runs, strict=True):
        flags = run.flags
        lacking = paths[side][rows[f"{name} {side}"].isna()]
        if len(lacking):
            images = few(f"{row} ({flags[path]})" if path in flags else row for row, path in lacking.items())
            # one sentence for each reason: sentences begin with the image
            errors = {error.removeprefix(repr(path)): error for path in lacking if (error := run.errors.get(path))}
            where = f"{name!r} has no score of {counted(len(lacking), 'image')} in {run.file!r}"
            yield f"{where}: {images}. {first_of(errors.values(), 5)}".strip()
    base, new, difference = (rows[f"{name} {what}"] for what in ("base", "new", "difference"))
    if (apart := difference.isna() & base.notna() & new.notna() & (base != new)).any():
        yield f"{name!r} is infinite in one run only for {counted(apart.sum(), 'image')}: {few(rows.index[apart])}"
