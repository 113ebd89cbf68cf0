"""Shards scored on a Ray cluster: tasks read and decode them, actors score, the driver writes a shard when it is whole.

A task streams its shard in blocks (``scoring/shards/work.py``), which are the units in flight: a task makes no more
than two before they are taken, and an actor has at most two to do, so what waits is bounded in bytes. The driver sees
rows only. Whatever breaks, a worker, its node, an object, costs the shard its place: it starts again, a bounded number
of times, and is then reported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...clip.device import PICTURE
from ...errors import CLIPIQAError
from ...images.source import reason
from ..rows import Header, Row
from .jobs import Job
from .ray_cluster import Room, connected, room_for
from .ray_workers import End, Scoring, decoded
from .work import Work

RETRIES = 3
_AHEAD = 2  # blocks of a shard, and of an actor, that wait
_STILLBORN = 10  # actors, for each that is wanted, that may die in a row before they run
_START_SECONDS = 600.0  # for the first actor to come up, on a cluster that is busy or slow
_TELL_SECONDS = 30.0  # until it is said that it is waited for

logger = logging.getLogger("clipiqa_pyiqa")


class RayEngine:
    """Scores shards on a Ray cluster: the ``engine`` of :func:`clipiqa_pyiqa.score_sources`.

    Args:
        actors: Processes that score, each with one frozen CLIP; None is as many as there is room for.
        cpus_per_actor: CPUs of each; Ray gives torch as many threads (at least one).
        gpus_per_actor: GPUs of each, also a fraction; None is 1 where the cluster has any, else 0.
        address: Of the cluster; None is ``RAY_ADDRESS``, or a cluster of its own on this machine.
        retries: How often a shard starts again after a worker was lost.
    """

    def __init__(
        self,
        actors: int | None = None,
        *,
        cpus_per_actor: float = 1.0,
        gpus_per_actor: float | None = None,
        address: str | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._asked = actors, cpus_per_actor, gpus_per_actor
        self._address, self._retries = address, retries

    def __call__(self, work: Work, jobs: Sequence[Job], report: Callable[[Job, Row | None], object]) -> None:
        """Score shards; the arguments are those of ``score_locally``."""
        ray = connected(self._address)
        room = room_for(ray, *self._asked)
        if jobs:
            with contextlib.closing(_Run(ray, room, work, jobs, report, self._retries)) as run:
                run.run()


@dataclass(eq=False)
class _Actor:
    """A process that scores, and the blocks it was given, the oldest first."""

    handle: Any
    started: Any  # a reference to what it scores on, which is there once it runs
    waiting: deque[Any] = field(default_factory=deque)  # references to rows
    blamed: bool = False  # its end is counted against a shard already


@dataclass(eq=False)
class _Course:
    """A shard under way: its blocks as they come, and their rows until they follow each other."""

    job: Job
    blocks: Any  # a generator of references
    attempt: int
    given: int = 0  # blocks
    under_way: int = 0
    written: int = 0
    is_read: bool = False  # no block is to come
    results: dict[int, Any] = field(default_factory=dict)


class _Run:
    def __init__(
        self,
        ray: Any,
        room: Room,
        work: Work,
        jobs: Sequence[Job],
        report: Callable[[Job, Row | None], object],
        retries: int,
    ) -> None:
        self._ray, self._room, self._report, self._retries = ray, room, report, retries
        self._jobs, self._again = iter(jobs), deque[tuple[Job, int]]()
        self._work, self._reading = ray.put(work), work.reading
        if room.gpus:
            self._reading = dataclasses.replace(work.reading, scoring=PICTURE)
        self._decode = ray.remote(decoded).options(
            num_cpus=room.decoding, max_retries=0, num_returns="streaming", _generator_backpressure_num_objects=_AHEAD
        )
        self._actors = [self._new_actor() for _ in range(room.actors)]
        self._courses: list[_Course] = []
        self._of: dict[Any, tuple[_Actor, _Course, int]] = {}  # reference to rows -> whose
        self._stillborn = 0  # actors in a row that died before they ran
        device = self._first_device()
        for job in jobs:
            job.header = Header(job.header.columns, {**job.header.provenance, "device": device})

    def run(self) -> None:
        """Until every shard has its result, or has failed too often."""
        while self._start_shards() or self._courses:
            self._give()
            wanting = [course.blocks for course in self._courses if not course.is_read and course.under_way < _AHEAD]
            if not any(len(actor.waiting) < _AHEAD for actor in self._actors):
                wanting = []
            if not wanting and not self._of:
                for course in [course for course in self._courses if course.is_read]:
                    self._start_again(course, RuntimeError("its end was lost"))
                continue
            ready, _ = self._ray.wait([*wanting, *self._of], num_returns=1, timeout=10, fetch_local=False)
            for each in ready:
                if each in self._of:
                    self._take(each)

    def close(self) -> None:
        for course in self._courses:
            course.job.let_go()
            self._cancel(course)
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor.handle)

    def _start_shards(self) -> bool:
        """Begin shards as long as there is room for more; whether any is under way."""
        while len(self._courses) < self._room.shards:
            if self._again:
                job, attempt = self._again.popleft()
                job.restart()
            else:
                job, attempt = next(self._jobs, None), 1  # type: ignore[assignment]
                if job is None:
                    break
                if not job.begin():
                    self._report(job, None)
                    continue
            blocks = self._decode.remote(self._reading, job.shard)
            self._courses.append(_Course(job, blocks, attempt))
        return bool(self._courses)

    def _give(self) -> None:
        """Give blocks that are there to actors that have room for one."""
        for course in self._courses:
            while not course.is_read and course.under_way < _AHEAD:
                actor = min(self._actors, key=lambda actor: len(actor.waiting))
                if len(actor.waiting) >= _AHEAD:
                    return
                ready, _ = self._ray.wait([course.blocks], timeout=0, fetch_local=False)
                if not ready:
                    break
                try:
                    block = next(course.blocks)
                except StopIteration:
                    course.is_read = True
                    break
                rows = actor.handle.score.remote(block)
                actor.waiting.append(rows)
                self._of[rows] = actor, course, course.given
                course.given, course.under_way = course.given + 1, course.under_way + 1

    def _take(self, reference: Any) -> None:
        """Rows that are there, or what became of them."""
        actor, course, number = self._of.pop(reference)
        first = bool(actor.waiting) and actor.waiting[0] == reference
        with contextlib.suppress(ValueError):
            actor.waiting.remove(reference)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.ActorDiedError as error:
            if actor in self._actors:
                self._stillborn = 0 if self._has_started(actor) else self._stillborn + 1
                if self._stillborn > _STILLBORN * len(self._actors):
                    raise CLIPIQAError(f"the actors die before they can score: {_said(error)}.") from error
                self._actors[self._actors.index(actor)] = self._new_actor()
            # Counted against the block that it was at, not the one behind it, nor any if it never ran.
            counts = first and not actor.blamed and self._has_started(actor)
            actor.blamed = actor.blamed or first
            self._start_again(course, error, counts)
        except self._ray.exceptions.RayError as error:
            self._start_again(course, error)
        else:
            course.under_way -= 1
            if course in self._courses:
                course.results[number] = result
                self._write(course)

    def _write(self, course: _Course) -> None:
        """Add the rows that follow those that were added; the last result ends the shard."""
        job = course.job
        while (result := course.results.pop(course.written, None)) is not None:
            course.written += 1
            if isinstance(result, End):
                job.problem = result.problem
                if (skipped := getattr(job.shard, "skipped", None)) is not None:
                    skipped.clear()
                    skipped.update(result.skipped)
                self._courses.remove(course)
                job.finish()
                self._report(job, None)
                return
            for row, kept in result:
                job.add(row, kept)
                self._report(job, row)

    def _start_again(self, course: _Course, error: Exception, counts: bool = True) -> None:
        if course not in self._courses:
            return
        self._courses.remove(course)
        self._cancel(course)
        attempt = course.attempt + counts
        said = _said(error)
        if attempt <= 1 + self._retries:
            logger.warning("%s starts again: %s.", course.job.shard.name, said)
            self._again.append((course.job, attempt))
            return
        course.job.problem = f"{course.job.shard.name!r} was given up after {self._retries + 1} attempts: {said}."
        course.job.finish()
        self._report(course.job, None)

    def _cancel(self, course: _Course) -> None:
        with contextlib.suppress(Exception):
            self._ray.cancel(course.blocks, force=True)

    def _new_actor(self) -> _Actor:
        options = {"num_cpus": self._room.cpus, "num_gpus": self._room.gpus, "max_restarts": 0}
        remote = self._ray.remote(**options)(Scoring)
        handle = remote.remote(self._work, self._room.gpus > 0)
        return _Actor(handle, handle.device.remote())

    def _has_started(self, actor: _Actor) -> bool:
        try:
            self._ray.get(actor.started, timeout=0)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _first_device(self) -> str:
        """Wait for an actor; what it scores on."""
        asked = [actor.started for actor in self._actors]
        ready, _ = self._ray.wait(asked, num_returns=1, timeout=_TELL_SECONDS)
        if not ready:
            logger.warning("waiting for an actor to start, up to %.0f seconds: the cluster is busy.", _START_SECONDS)
            ready, _ = self._ray.wait(asked, num_returns=1, timeout=_START_SECONDS)
        if not ready:
            raise CLIPIQAError(
                f"no actor could start within {_START_SECONDS:g} seconds, although the cluster has room for "
                f"{len(asked)}: something else is using it; wait, or ask for less."
            )
        try:
            return self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            raise CLIPIQAError(f"the actors cannot start: {_said(error)}.") from error


def _said(error: BaseException) -> str:
    """What Ray says, in short."""
    name = type(getattr(error, "cause", None) or error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{name}: {reason(ValueError(lines[-1] if lines else name))[:200]}"
