"""Which shards are to be scored, by whom, and where their results go."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...files.locking import LockedError, locked
from ...files.names import printable
from ...files.writing import check_output, has_leftovers, remove_leftovers
from ...sources.members import FilesShard, Shard
from ...sources.patterns import result_names
from ..rows import Header, ResultsError, Row, header_changes
from .files import Counts, ShardResult, ShardRows, read_shard_result

_MACHINE = ("device",)  # of a header, what may differ between the machines that share the work


@dataclass(frozen=True)
class Part:
    """A share of the shards: every ``count``-th, from the ``number``-th on; numbers begin with 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str | None, environment: Mapping[str, str] = os.environ) -> Part:
        """``'3/8'``; None is the share of a task in a SLURM array, or everything.

        Raises:
            CLIPIQAError: It is no such share.
        """
        if text is None and "SLURM_ARRAY_TASK_ID" in environment:
            said = {name: environment.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT", "MIN", "STEP")}
            try:
                step = int(said["STEP"] or 1) or 1
                number = (int(said["ID"] or 0) - int(said["MIN"] or 0)) // step + 1
                return cls._checked(number, int(said["COUNT"] or 1), "the SLURM array's task")
            except ValueError as error:
                if isinstance(error, CLIPIQAError):
                    raise
                raise CLIPIQAError(f"SLURM's array variables are no numbers ({error}): give --part I/N.") from error
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if not found:
            raise CLIPIQAError(f"--part takes I/N, such as 3/8 for the third of eight parts, but {text!r} came.")
        return cls._checked(int(found[1]), int(found[2]), "--part")

    @classmethod
    def _checked(cls, number: int, count: int, what: str) -> Part:
        if not 1 <= number <= count:
            raise CLIPIQAError(
                f"{what} is {number} of {count}, but parts are numbered from 1 to {count}: give --part I/N."
            )
        return cls(number, count)


@dataclass
class Job:
    """One shard to be scored, and where its result goes.

    Attributes:
        shard: The images.
        path: The Parquet file of its result.
        of: How many shards there are in all parts.
        header: What the result says of the metric.
        range: The lowest and the highest score.
        problem: Why it has no result, as a sentence; None as long as nothing is wrong.
        counts: What it came to, once it is finished.
    """

    shard: Shard
    path: Path
    of: int
    header: Header
    range: tuple[float, float] = (0.0, 1.0)
    problem: str | None = None
    counts: Counts | None = None
    _is_stale: bool = field(default=False, repr=False)  # its result is to be replaced
    _is_littered: bool = field(default=False, repr=False)  # by killed runs, perhaps
    _rows: ShardRows | None = field(default=None, repr=False)
    _lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    def begin(self) -> bool:
        """Keep others from it; False if another run has it, or has finished it in the meantime."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.enter_context(locked(self.path))
        except LockedError:
            return False
        if self._is_littered:
            remove_leftovers(self.path)
        if not self._is_stale and finished(self) is not None:
            self.let_go()
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Forget the rows that there are."""
        self._rows = ShardRows(self.header, self.range)

    @property
    def rows(self) -> int:
        return 0 if self._rows is None else self._rows.count

    def add(self, row: Row, kept: Mapping[str, Any]) -> None:
        """The next row of the shard."""
        assert self._rows is not None
        self._rows.add(row, kept)

    def finish(self) -> None:
        """Write the result, unless there is a problem, and let others have it."""
        try:
            if self.problem is None and self._rows is not None:
                skipped = getattr(self.shard, "skipped", None) or Counter[str]()
                kind = getattr(self.shard, "kind", "own")
                self.counts = self._rows.save(
                    self.path, printable(self.shard.name), kind, self.of, names_of(self.shard), skipped
                )
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Let others have it."""
        self._rows = None
        self._lock.close()


def plan(
    shards: Sequence[Shard], out: Path, header: Header, part: Part, overwrite: bool, range: tuple[float, float]
) -> tuple[list[Job], list[ShardResult]]:
    """The shards of a part that are still to be scored, and what is finished of it.

    Raises:
        ResultsError: What is in the folder was made another way, or belongs to other shards.
    """
    own = [isinstance(shard, FilesShard) or not hasattr(shard, "kind") for shard in shards]
    names = result_names([shard.name for shard in shards], own)
    jobs = [
        Job(shard, out / f"{printable(name)}.parquet", len(shards), header, range)
        for shard, name in zip(shards, names, strict=True)
    ]
    _check_no_other_names(jobs, out)
    todo, done, is_littered = [], [], has_leftovers(out)
    for job in jobs[part.number - 1 :: part.count]:
        found = None if overwrite else finished(job)
        if found is None:
            job._is_stale, job._is_littered = overwrite or job.path.exists(), is_littered
            if overwrite and job.path.exists():
                check_output(job.path, ours=_is_ours)
            elif job.path.exists():
                _check_some_are_the_same(job)
            todo.append(job)
        else:
            done.append(found)
    return todo, done


def _check_no_other_names(jobs: Sequence[Job], out: Path) -> None:
    """Raise if one of the images has its row in a file that this run would not write, and so would have two."""
    planned = {job.path for job in jobs}
    has_files = any(isinstance(job.shard, FilesShard) for job in jobs)
    paths = {_identity(printable(job.shard.name)): job.path for job in jobs if not isinstance(job.shard, FilesShard)}
    for path in results_in(out):
        if path in planned:
            continue
        found = read_shard_result(path)
        if found.kind == FilesShard.kind and has_files:
            raise ResultsError(
                f"{str(path)!r} is of an earlier run with more files, some of which are in other results now: remove "
                "it, or use another --out."
            )
        if found.kind != FilesShard.kind and (now := paths.get(_identity(found.shard))) is not None:
            raise ResultsError(
                f"{found.shard!r} has its result in {str(path)!r} and not in {str(now)!r}: name all shards in every "
                "run, as names of results come from what paths have in common, or use another --out."
            )


def _check_some_are_the_same(job: Job) -> None:
    """Raise if a numbered shard of files would replace the results of quite other files."""
    from pyarrow import parquet

    if not isinstance(job.shard, FilesShard):
        return
    before = set(parquet.read_table(job.path, columns=["path"])["path"].to_pylist())
    if before and before.isdisjoint(printable(source.name) for source in job.shard.sources):
        raise ResultsError(
            f"{str(job.path)!r} holds the results of other files, such as {min(before)!r}: name all files in every "
            "run, use another --out, or --overwrite."
        )


def finished(job: Job) -> ShardResult | None:
    """The result that an earlier run left, if it is of the same images.

    Raises:
        ResultsError: It was made another way, or is of another shard.
    """
    if not job.path.exists():
        return None
    found = read_shard_result(job.path)
    check_same(job.path, found.header, job.header)
    if found.shard != printable(job.shard.name) and _identity(found.shard) != _identity(job.shard.name):
        raise ResultsError(
            f"{str(job.path)!r} is the result of {found.shard!r} and not of {job.shard.name!r}: name all shards in "
            "every run, as names of results come from what paths have in common, or use another --out."
        )
    return found if found.names == names_of(job.shard) else None


def check_same(path: Path, before: Header, now: Header) -> None:
    """Raise unless two headers say the same of everything that scores depend on but the machine."""
    if changes := header_changes(before, now, _MACHINE):
        raise ResultsError(
            f"{str(path)!r} was made with another metric or another way: {changes}; use the earlier options, another "
            "--out, or --overwrite."
        )


def names_of(shard: Shard) -> str:
    """A hash of the names in a numbered shard of files, which change when files come and go; else empty."""
    if not isinstance(shard, FilesShard):
        return ""
    return hashlib.sha256("\0".join(printable(source.name) for source in shard.sources).encode()).hexdigest()


def results_in(out: Path) -> list[Path]:
    """The files of finished shards in a folder, in the order of their names."""
    return sorted(path for path in out.rglob("*.parquet") if not path.name.startswith("."))


def _is_ours(path: Path) -> bool:
    read_shard_result(path)
    return True


def _identity(name: str) -> str:
    return name if "://" in name else os.path.abspath(name)
