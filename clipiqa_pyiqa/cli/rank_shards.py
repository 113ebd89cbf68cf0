"""What ``clipiqa rank`` does with results by shard: it writes the shards of a filtered set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .options.progress import Bar, tell


def write(paths: Sequence[str], into: Path, by: str | None, cuts: Mapping[str, Any], quiet: bool) -> int:
    """Copy what is kept of the scored shards into new ones, and tell how many; returns the exit code."""
    from ..scoring.shards.filtered import filter_shards

    if len(paths) != 1:
        raise OptionError("write_shards takes one folder of results by shard, the --out DIR of clipiqa score.")
    with Bar(unit="shard") as bar:
        found = filter_shards(paths[0], into, column=by, progress=partial(bar.show, ""), **cuts)
    for said in found.problems.values() if quiet else found.sentences():
        tell(said)
    return 1 if found.problems else 0
