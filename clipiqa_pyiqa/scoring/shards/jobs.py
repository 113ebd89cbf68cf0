"""Which shards are to be scored, and where their results go."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import CLIPIQAError
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...sources.members import FilesShard, Shard
from ...sources.patterns import result_names
from ...sources.stores import files_below, joined, local_path
from ..rows import Header, ResultsError, header_changes
from .files import Counts, ShardResult, ShardRows, read_shard_result, read_table, save_shard


def part_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return ``(3, 8)`` for ``'3/8'``; for None the numbers of a task in a SLURM array, or ``(1, 1)``.

    Raises:
        CLIPIQAError: It is not a part.
    """
    if text is None and "SLURM_ARRAY_TASK_ID" in environment:
        task, tasks, least, step = (
            int(environment.get(f"SLURM_ARRAY_TASK_{name}") or default)
            for name, default in (("ID", 0), ("COUNT", 1), ("MIN", 0), ("STEP", 1))
        )
        text = f"{(task - least) // step + 1}/{tasks}"
    text = "1/1" if text is None else text
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise CLIPIQAError(f"part must be I/N with I from 1 to N, such as 3/8 for the third of eight; got {text}.")
    return number, count


@dataclass
class Job:
    """One shard to be scored, and where its result goes.

    Attributes:
        shard: The images.
        path: Path or address of its result.
        of: How many shards there are in all parts.
        header: What the result says of the metric.
        range: The lowest and the highest score.
        replaces: Whether a result that exists is to be replaced.
        problem: Why it has no result, as a sentence; None as long as nothing is wrong.
        is_elsewhere: Whether another run is scoring it.
    """

    shard: Shard
    path: str
    of: int
    header: Header
    range: tuple[float, float]
    replaces: bool = False
    problem: str | None = None
    is_elsewhere: bool = False

    def begin(self) -> contextlib.ExitStack | None:
        """Lock the result; None if another run is scoring the shard, or has finished it in the meantime."""
        lock = contextlib.ExitStack()
        if local_path(self.path) is not None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                lock.enter_context(locked(self.path))
            except LockedError:
                self.is_elsewhere = True
                return None
            if not self.replaces and os.path.exists(self.path):
                lock.close()
                return None
        return lock

    def save(self, rows: ShardRows) -> Counts:
        """Write the result."""
        kind = getattr(self.shard, "kind", "own")
        about = {"shard": printable(self.shard.name), "kind": kind, "of": self.of, "names": names_of(self.shard)}
        return save_shard(self.path, rows, self.header, self.range, about)


def plan(
    shards: Sequence[Shard],
    out: str,
    header: Header,
    part: tuple[int, int],
    overwrite: bool,
    range: tuple[float, float],
) -> tuple[list[Job], int]:
    """Return the shards of a part that are still to be scored, and how many of it are finished.

    Raises:
        ResultsError: What is in the folder was made another way, or belongs to other shards.
    """
    own = [isinstance(shard, FilesShard) or not hasattr(shard, "kind") for shard in shards]
    names = result_names([shard.name for shard in shards], own)
    jobs = [
        Job(shard, joined(out, f"{printable(name)}.parquet"), len(shards), header, range)
        for shard, name in zip(shards, names, strict=True)
    ]
    there = set(results_in(out))
    _check_second_results(jobs, there)
    number, count = part
    mine = jobs[number - 1 :: count]
    todo = [job for job in mine if job.path not in there or not _is_done(job, overwrite)]
    return todo, len(mine) - len(todo)


def _is_done(job: Job, overwrite: bool) -> bool:
    """Whether the result that exists is this shard's; one of numbered files is scored again when the files changed.

    Raises:
        ResultsError: It was made another way, or is of another shard or quite other files.
    """
    job.replaces = True
    found = read_shard_result(job.path)
    if overwrite:
        return False
    check_same(found, job.header)
    if _identity(found.shard) != _identity(printable(job.shard.name)):
        raise ResultsError(f"{job.path!r} is the result of {found.shard!r} and not of {job.shard.name!r}: {_ADVICE}")
    if not isinstance(job.shard, FilesShard) or found.names == names_of(job.shard):
        return True
    before = set(read_table(job.path, ["path"])["path"].to_pylist())
    if before and before.isdisjoint(printable(source.name) for source in job.shard.sources):
        raise ResultsError(f"{job.path!r} holds the results of other files, such as {min(before)!r}: {_ADVICE}")
    return False


_ADVICE = (
    "name all shards and files in every run, as results are named by what paths have in common, or use another "
    "output folder."
)


def _check_second_results(jobs: Sequence[Job], there: set[str]) -> None:
    """Raise if an image has its row in a file that this run would not write, and so would have two."""
    paths = {_identity(printable(job.shard.name)): job.path for job in jobs}
    has_files = any(isinstance(job.shard, FilesShard) for job in jobs)
    for path in sorted(there.difference(paths.values())):
        found = read_shard_result(path)
        now = paths.get(_identity(found.shard))
        if now is not None or (found.kind == FilesShard.kind and has_files):
            where = f"{now!r}" if now else "other results"
            raise ResultsError(f"{found.shard!r} has its result in {path!r} and would have it in {where}: {_ADVICE}")


def check_same(found: ShardResult, header: Header) -> None:
    """Raise unless a result says the same as a header of everything that scores depend on but the machine."""
    if changes := header_changes(found.header, header, ("device",)):
        raise ResultsError(
            f"{found.path!r} was made with another metric or another way: {changes}; use the earlier options, another "
            "output folder, or overwrite."
        )


def names_of(shard: Shard) -> str:
    """Return a hash of the names in a numbered shard of files, which change when files come and go; else ``''``."""
    if not isinstance(shard, FilesShard):
        return ""
    return hashlib.sha256("\0".join(printable(source.name) for source in shard.sources).encode()).hexdigest()


def results_in(out: str) -> list[str]:
    """Return the files of finished shards in a folder, sorted."""
    return sorted(path for path in files_below(out) if path.endswith(".parquet"))


def _identity(name: str) -> str:
    return name if "://" in name else os.path.abspath(name)
