"""The processes of ``torchrun`` that share one comparison, or the only one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from ..datasets.specification import CompareError


@dataclass(frozen=True)
class Processes:
    """This process among those that take part.

    Attributes:
        rank: Of this process, from 0.
        count: How many there are.
        local_rank: Of this process on its machine: the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the results of all."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has come here.

        Raises:
            CompareError: one of them never will, as it has ended.
        """
        if self.count > 1:
            import torch.distributed

            try:
                torch.distributed.barrier()
            except RuntimeError as error:
                raise CompareError(
                    "another process of this run has ended early, and says itself why; what was scored is kept."
                ) from error


def processes_of_environment() -> Processes:
    """Read what ``torchrun`` says in the environment, without connecting."""
    usual = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    return Processes(*(int(os.environ.get(name, value)) for name, value in usual.items()))


@contextlib.contextmanager
def process_group(processes: Processes) -> Iterator[None]:
    """Connection to the others, for as long as it takes: the fastest waits for the slowest."""
    import torch.distributed

    if processes.count == 1 or torch.distributed.is_initialized():
        yield
        return
    torch.distributed.init_process_group("gloo", timeout=timedelta(days=30))
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
