"""What all checks cost `score` with mini: python tests/measure/result_files.py PHOTOS [COUNT PAIRS]

In turns in one process, so that the start does not count, as ratios of processor time (user and system, all threads):

- whole: `score --out` as it is;
- unchecked: without JPEG's check (PIL decodes) and the budget of memory, rows appended to a bare CSV, as
  the first version did;
- unchecked JPEGs: as it is, but for JPEG's check.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import pyiqa
import torch

from clipiqa_pyiqa.images import batches, reader
from clipiqa_pyiqa.images.jpeg_damage import Decoded
from clipiqa_pyiqa.scoring.rows import Csv
from clipiqa_pyiqa.scoring.score import score_paths

KINDS = ("whole", "unchecked", "unchecked JPEGs")


class NoBudget:
    """What ``prefetch`` needs of a budget, and nothing more."""

    size = 0

    def ticket(self) -> NoBudget:
        return self

    def close(self) -> None: ...

    def keep(self, size: int) -> None: ...

    def __enter__(self) -> NoBudget:
        return self

    def __exit__(self, *_: object) -> None: ...


@contextlib.contextmanager
def without(kind: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if kind != "whole":
            stack.enter_context(mock.patch.object(reader, "decode_jpeg", lambda *_: Decoded(None, None)))
        if kind == "unchecked":
            stack.enter_context(mock.patch.object(batches, "Budget", NoBudget))
            stack.enter_context(mock.patch.object(reader, "set_aside", lambda *_: None))
        yield


def score(kind: str, metric: Any, photos: list[str], out: Path) -> None:
    if kind == "unchecked":
        run = score_paths(metric, photos, device="cpu")
        layout = Csv(run.header)
        with open(out, "wb", buffering=0) as file:
            for row in run:
                file.write(layout.row(row).encode())
    else:
        list(score_paths(metric, photos, device="cpu", out=out))


def main() -> None:
    torch.set_num_threads(1)
    count, pairs = (*map(int, sys.argv[2:]), 300, 9)[:2] if len(sys.argv) != 3 else (int(sys.argv[2]), 9)
    found = sorted(map(str, Path(sys.argv[1]).rglob("*.jpg")))
    photos = found[:: max(1, len(found) // count)][:count]
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, pairs):  # the first round warms up
            for place in range(len(KINDS)):
                kind = KINDS[(place + number) % len(KINDS)]
                with without(kind):
                    start = time.process_time()
                    score(kind, metric, photos, Path(folder, f"{kind}{number}.csv"))
                    if number >= 0:
                        times[kind].append(time.process_time() - start)
    print(f"{median(times['whole']) / len(photos) * 1e3:.2f} ms of processor time per photo, {len(photos)} photos")
    for kind in KINDS[1:]:
        ratios = [whole / other for whole, other in zip(times["whole"], times[kind], strict=True)]
        print(f"whole / {kind}, {pairs} pairs: {median(ratios):.4f} (from {min(ratios):.4f} to {max(ratios):.4f})")


if __name__ == "__main__":
    main()
