"""The processes of ``torchrun`` that share one evaluation; a single process is a team of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from .specification import CompareError


@dataclass(frozen=True)
class Team:
    """Who takes part.

    Attributes:
        rank: Of this process, from 0.
        size: Number of processes.
        local_rank: Of this process on its machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes what all came to."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has come here.

        Raises:
            CompareError: one of them never will, as it has ended.
        """
        if self.size > 1:
            import torch.distributed

            try:
                torch.distributed.barrier()
            except RuntimeError as error:
                raise CompareError(
                    "another process of this run has ended early, and says itself why; what was scored is kept."
                ) from error


def team_of_environment() -> Team:
    """What ``torchrun`` says in the environment, without connecting."""
    rank, size, local = (int(os.environ.get(name, usual)) for name, usual in _VARIABLES.items())
    return Team(rank, size, local)


@contextlib.contextmanager
def joined(team: Team) -> Iterator[Team]:
    """Connected to the others, for as long as it takes: the fastest waits for the slowest."""
    import torch.distributed

    if team.size == 1 or torch.distributed.is_initialized():
        yield team
        return
    torch.distributed.init_process_group("gloo", timeout=timedelta(days=30))
    try:
        yield team
    finally:
        torch.distributed.destroy_process_group()


_VARIABLES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
