"""Which rows of two runs belong together, and which one of them lacks."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pandas import DataFrame, concat

from ...errors import CLIPIQAError
from ...text import few
from ..names.matching import match
from ..results.scores import Scores

_NAMES = ""
"""A column of the images' names, beside the columns of scores, none of which has an empty name."""


@dataclass(frozen=True)
class Pairing:
    """The rows of two runs.

    Attributes:
        rows: ``NAME base``, ``NAME new``, ``NAME difference`` (new minus base) of rows in both runs.
        paths: Both runs' names of these rows, ``base`` and ``new``.
        base_only, new_only: Row -> its name, of rows in one run alone.
    """

    rows: DataFrame
    paths: DataFrame
    base_only: Mapping[str, str]
    new_only: Mapping[str, str]

    @property
    def base_count(self) -> int:
        return len(self.paths) + len(self.base_only)

    @property
    def unpaired(self) -> dict[str, dict[str, str]]:
        """Row -> the run that alone has it, and its name there."""
        of_base = {row: {"base": name} for row, name in self.base_only.items()}
        return of_base | {row: {"new": name} for row, name in self.new_only.items()}


def pair_rows(runs: Sequence[Scores], names: Sequence[str], has_key: bool) -> Pairing:
    """Return which rows belong together, with their scores; raise if no row is in both runs."""
    indices = _row_names(runs, has_key)
    frames = {}
    for side, run, index in zip(("base", "new"), runs, indices, strict=True):
        frame = run.frame[names].assign(**{_NAMES: run.frame.index}).set_axis(index)
        twice = frame.index[frame.index.duplicated()]
        if len(twice):
            raise CLIPIQAError(
                f"{run.file!r} has two rows for {twice[0]!r}: name a column whose values differ (`key`).",
                options=("key",),
            )
        frames[side] = frame
    both = concat(frames, axis=1)
    all_paths = both.xs(_NAMES, axis=1, level=1)
    paths = all_paths.dropna()
    if paths.empty:
        raise CLIPIQAError(
            f"the runs share no row ({few(indices[0][:3])} against {few(indices[1][:3])}): rows are "
            "paired by their path below each run's common folder, without suffix if no two are then equal, or by a "
            "key column (`key`).",
            options=("key",),
        )
    columns = {}
    for name in names:
        base = both["base", name]
        new = both["new", name]
        difference = (new - base).replace([math.inf, -math.inf], math.nan)
        columns.update({f"{name} base": base, f"{name} new": new, f"{name} difference": difference})
    return Pairing(
        DataFrame(columns, paths.index.rename("row")),
        paths,
        dict(all_paths["base"][all_paths["new"].isna()]),
        dict(all_paths["new"][all_paths["base"].isna()]),
    )


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
