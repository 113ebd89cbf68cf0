"""``clipiqa gate``: compare two runs over the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import OptionError
from ..errors.arguments import SharedOptions
from .options.groups import Asked, OutputOptions, start
from .options.terminal import Bar, in_shell, numbers_by_name, stored, tell


def run(
    asked: Asked,
    images: SharedOptions,
    kept: OutputOptions,
    base: Path,
    new: Path,
    *,
    by: list[str] | None = None,
    key: str | None = None,
    margin: Sequence[str] = (),
    lower_better: Sequence[str] = (),
    higher_better: Sequence[str] = (),
    skip_missing: bool = False,
) -> int:
    """Check whether a second run over the same inputs got worse, for continuous integration.

    A run is a score file (csv, jsonl or parquet) of any tool, a folder of images, which --metrics score, or a folder
    of results by shard. Rows match if their paths (below each run's common folder, without suffix) or their values in
    --key COLUMN are equal. --out receives gate.json, gate.xml (JUnit), rows.csv, and the scores of folders. Exit code:
    0 passed, 1 worse or scores missing (with --margin, also: unclear), 2 bad input.

    examples:
      clipiqa gate base.parquet new.parquet
      clipiqa gate release-1/ release-2/ --metrics clipiqa --margin 0.01 --out gate/

    Args:
        base (BASE): the first run
        new (NEW): the second run
        by: columns to compare; default: every column of both runs
        key (COLUMN): column that matches rows; default: the paths
        margin (D|NAME=D): pass only if the loss is surely below D; for all columns, or for the column NAME
        lower_better: columns whose low values are good
        higher_better: columns whose high values are good
        skip_missing: leave out rows without a score in one of the runs
    """
    from ..comparison.gating import gate
    from ..files.names import one_line

    options = kept.storage()
    if asked != Asked():
        options |= {"metrics": asked.chosen(), "trust_weights": asked.trust_weights, "strict": asked.strict}
    if "metrics" in options or images != SharedOptions():
        options |= {"device": start(images), **images.keywords()}
    with stored(kept.out), Bar() as bar:
        found = gate(
            base,
            new,
            by=by,
            key=key,
            margin=_margin(margin),
            lower_better=lower_better,
            higher_better=higher_better,
            skip_missing=skip_missing,
            progress=bar.show,
            **options,
        )
    for pair in found.pairs:
        if not kept.quiet or pair.verdict in ("worse", "unclear"):
            print(in_shell(one_line(pair.line)))
    for row, flag in found.flagged.items():
        print(one_line(f"{row}: {flag} in the new run only"))
    for line in found.missing:
        print(one_line(line))
    tell(*map(one_line, found.notes))
    return 0 if found.passed else 1


def _margin(texts: Sequence[str]) -> float | dict[str, float] | None:
    found = numbers_by_name("margin", texts)
    if "" in found and len(found) > 1:
        raise OptionError("`margin` must be one number, or NAME=NUMBER for each column; got both.")
    return found.get("", found or None)
