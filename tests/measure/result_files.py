"""What journal, checksums, lock and finished file cost `score` with mini: python tests/measure/result_files.py PHOTOS

In pairs in one process: rows appended to a bare CSV, as the first version did, against all that `score --out` does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyiqa
import torch

from clipiqa_pyiqa.scoring.rows import Csv
from clipiqa_pyiqa.scoring.score import score_paths


def bare(metric: object, photos: list[str], out: Path) -> None:
    run = score_paths(metric, photos, device="cpu")
    layout = Csv(run.header)
    with open(out, "wb", buffering=0) as file:
        for row in run:
            file.write(layout.row(row).encode())


def main() -> None:
    torch.set_num_threads(1)
    photos = sorted(map(str, Path(sys.argv[1]).rglob("*.jpg")))[:150]
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(9):
            times = {}
            for name in ("bare", "whole") if number % 2 else ("whole", "bare"):
                start, out = time.process_time(), Path(folder, f"{name}{number}.csv")
                if name == "bare":
                    bare(metric, photos, out)
                else:
                    list(score_paths(metric, photos, device="cpu", out=out))
                times[name] = time.process_time() - start
            ratios.append(times["whole"] / times["bare"])
            if number == 0:
                print(f"{times['bare'] / len(photos) * 1e3:.2f} ms of CPU per photo")
    print(f"{len(photos)} photos, 9 pairs: {median(ratios):.4f} (from {min(ratios):.4f} to {max(ratios):.4f})")


if __name__ == "__main__":
    main()
