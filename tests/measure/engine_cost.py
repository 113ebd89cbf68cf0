"""What scoring costs beside reading and the metric: time and lasting memory per image; run as a script, as no test.

    python tests/measure/engine_cost.py [--images 200000]

Tiny images in memory are scored by a metric that returns a number, once without a file and once into a CSV file.
Printed are the time per image at 2,000 images and at all, and how far the process has grown between them, per image.
To compare with another checkout, run the script with PYTHONPATH set to it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clipiqa_pyiqa import score_paths

FEW = 2000


@dataclass(frozen=True)
class Tiny:
    """A source whose bytes all images share."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data

    def stamp(self) -> str:
        return "1 1"


class Number:
    """A metric that costs next to nothing."""

    columns = ("number",)

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1, 0, 0]

    def score(self, features: torch.Tensor, *_: Any) -> torch.Tensor:
        return features

    def provenance(self) -> dict[str, str]:
        return {"metric": "number"}


def resident() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000)
    count = parser.parse_args().images
    torch.set_num_threads(1)
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (9, 99, 200)).save(file, "PNG")
    for to_file in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "scores.csv" if to_file else None
            sources = (Tiny(f"folder/of/photos/{number:07}.png", file.getvalue()) for number in range(FEW + count))
            start, few, before = time.perf_counter(), 0.0, 0
            for number, _ in enumerate(score_paths(Number(), sources, out=out, device="cpu", workers=1), 1):
                if number == FEW:
                    few, before = (time.perf_counter() - start) / FEW, resident()
                    start = time.perf_counter()
                if number == count:  # before the file is made from the journal
                    many, grown = (time.perf_counter() - start) / (count - FEW), (resident() - before) / count
            name = "into a CSV file" if to_file else "without a file"
            print(f"{name}: {1000 * few:.3f} ms per image at {FEW:,}, {1000 * many:.3f} at {count:,}", end="; ")
            print(f"ratio {many / few:.2f}; {grown:.0f} bytes per image stay")


if __name__ == "__main__":
    main()
