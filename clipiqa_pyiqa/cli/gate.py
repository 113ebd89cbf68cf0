"""``clipiqa gate``: compare two score files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .options.terminal import tell


def run(
    base: Path,
    new: Path,
    *,
    by: list[str] | None = None,
    key: str | None = None,
    lower_better: Sequence[str] = (),
    higher_better: Sequence[str] = (),
    min_delta: float = 0.0,
    skip_missing: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Check whether a second run over the same inputs got worse, for continuous integration.

    The score files (csv, jsonl or parquet) may come from any tool. Rows match if their paths (below each run's
    common folder, without suffix) or their values in --key COLUMN are equal. Exit code: 0 nothing got worse, 1 a mean
    got worse by more than --min-delta and the difference's 95 % interval excludes 0, 2 bad input.

    examples:
      clipiqa gate base.parquet new.parquet
      clipiqa gate v1.csv v2.csv --by quality sharpness --min-delta 0.01 --out gate/

    Args:
        base (BASE): scores of the first run
        new (NEW): scores of the second run
        by: questions to compare; default: every question of both files
        key (COLUMN): column that matches rows; default: the paths
        lower_better: questions whose low values are good
        higher_better: questions whose high values are good
        min_delta: ignore a difference of means up to this value
        skip_missing: leave out rows that have a finite score in only one run
        out (-o DIR): folder for gate.json, gate.xml (JUnit) and rows.csv
        overwrite: replace existing files
        quiet (-q): print only questions that got worse
    """
    from ..comparison.gating import gate
    from ..files.names import one_line

    found = gate(
        base,
        new,
        columns=by,
        key=key,
        lower_better=lower_better,
        higher_better=higher_better,
        min_delta=min_delta,
        skip_missing=skip_missing,
    )
    if out is not None:
        found.save(out, overwrite=overwrite)
    for question in found.questions:
        if not quiet or question.verdict == "worse":
            print(one_line(question.line))
    for line in found.left_out:
        tell(one_line(f"left out: {line}"))
    return 0 if found.passed else 1
