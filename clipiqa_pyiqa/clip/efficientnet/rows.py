"""A map as a stream of row strips, from the top: what a pass over a large image holds at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Strips = Iterator[Tensor]
"""Runs of rows ``(N, C, rows, W)`` of one map, in order, each row once."""


class RowQueue:
    """Rows that wait to be taken, in another rhythm than they came in."""

    def __init__(self) -> None:
        self.rows = 0
        self._strips: list[Tensor] = []

    def push(self, strip: Tensor) -> None:
        self.rows += strip.shape[2]
        self._strips.append(strip)

    def take(self, rows: int) -> Tensor:
        """The next rows, of which there must be enough."""
        self.rows -= rows
        taken: list[Tensor] = []
        while rows:
            strip = self._strips.pop(0)
            if strip.shape[2] > rows:
                self._strips.insert(0, strip[:, :, rows:])
                strip = strip[:, :, :rows]
            taken.append(strip)
            rows -= strip.shape[2]
        return taken[0] if len(taken) == 1 else torch.cat(taken, dim=2)

    def runs(self, multiple: int, least: int) -> Strips:
        """All that can be taken in multiples of so many rows: at least so many at once where there are, or what one
        strip has, since only what lies across two strips is copied."""
        while self.rows >= multiple:
            rows = max(self._strips[0].shape[2], min(least, self.rows), multiple)
            yield self.take(rows // multiple * multiple)


def rebatched(strips: Strips, rows: int) -> Strips:
    """The same map in strips of ``rows`` rows; the last may be shorter."""
    queue = RowQueue()
    for strip in strips:
        queue.push(strip)
        while queue.rows >= rows:
            yield queue.take(rows)
    if queue.rows:
        yield queue.take(queue.rows)
