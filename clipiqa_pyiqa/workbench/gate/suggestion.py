"""Limits to begin with, from two runs without a change."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pandas import DataFrame

from ..stats.mean_differences import FEW, detectable_difference
from .verdicts import SAFE, ColumnPair

_WORST = 2
"""A limit of one image's loss is so many times the largest difference of two runs without a change."""
_TWO_SIDED = 2 * (1 - SAFE)
"""Level of a two-sided test, of which one side, a loss, fails a margin."""


@dataclass(frozen=True)
class Suggestion:
    """The limits of each column, or why there are none.

    Attributes:
        options: The options to copy into a command line; empty if none can be suggested.
        sentences: What each margin finds.
        equal_columns: Columns that are equal in both runs, so that every margin would pass.
        refusals: Column -> why no margin can be suggested, though the runs differ.
    """

    options: str
    sentences: Sequence[str]
    equal_columns: Sequence[str]
    refusals: dict[str, str]

    @property
    def has_failed(self) -> bool:
        return bool(self.refusals)

    @property
    def lines(self) -> Iterator[str]:
        """Yield the options, what they find, and the verdict on the suggestion."""
        if self.options:
            yield self.options
        yield from self.sentences
        for name in self.equal_columns:
            yield (
                f"{name}: no margin can be suggested: the runs are equal, so every margin would pass; choose the "
                "smallest loss that matters to you"
            )
        for name, why in self.refusals.items():
            yield f"{name}: no margin can be suggested: {why}"
        yield f"FAILED: no margin can be suggested for {', '.join(self.refusals)}" if self.has_failed else "PASSED"


def suggest(pairs: Sequence[ColumnPair], rows: DataFrame) -> Suggestion:
    """Return limits from two runs that were made without a change."""
    margins = []
    worst_losses = []
    sentences = []
    equal_columns = []
    refusals = {}
    for pair in pairs:
        if pair.is_equal:
            equal_columns.append(pair.name)
            continue
        refusal = _refusal(pair)
        if refusal:
            refusals[pair.name] = refusal
            continue
        differences = rows[f"{pair.name} difference"].dropna()
        margins.append(shlex.quote(f"{pair.name}={pair.decidable:.2g}"))
        worst_losses.append(shlex.quote(f"{pair.name}={_WORST * differences.abs().max():.2g}"))
        loss = detectable_difference(differences, _TWO_SIDED)
        sentences.append(
            f"{pair.name}: this margin passes 99 of 100 runs without a change, and fails four of five runs whose mean "
            f"is worse by {loss:.2g} (n = {len(differences):,}; with four times as many images, both halve)."
        )
    if not margins:
        return Suggestion("", [], equal_columns, refusals)
    sentences.append("The worst loss is twice the largest difference of an image in these two runs.")
    options = f"--margin {' '.join(margins)} --worst-loss {' '.join(worst_losses)}"
    return Suggestion(options, sentences, equal_columns, refusals)


def _refusal(pair: ColumnPair) -> str:
    """Return why no margin can be suggested for a column that differs; empty if one can."""
    if pair.n < FEW:
        return f"there are fewer than {FEW} rows"
    if pair.verdict in ("worse", "better"):
        return "the runs differ by more than chance"
    return pair.caveat
