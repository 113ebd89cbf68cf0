"""What scoring costs beside reading and the metric: time and lasting memory per image; run as a script, as no test.

    python tests/measure/engine_cost.py [IMAGES]

Tiny images in memory are scored by a metric that returns a number, once without a file and once into a CSV file.
Printed are the time per image at 2,000 images and at all, and how far the process has grown between them, per image.
To compare with another checkout, run the script with PYTHONPATH set to it.
"""

import gc
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from timing import resident

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.images.memory import give_back_memory

FEW = 2000


@dataclass(frozen=True)
class Tiny:
    """A source whose bytes all images share."""

    name: str
    data: bytes

    def read(self):
        return self.data

    def stamp(self):
        return "1 1"


class Number:
    """A metric that costs next to nothing."""

    columns = ("number",)

    def encode_image(self, x):
        return x[:, :1, 0, 0]

    def score(self, features, *_):
        return features

    def provenance(self):
        return {"metric": "number", "scores": {"number": {"range": (0.0, 1.0), "lower_better": False}}}


def held():
    """Return the bytes that the process holds."""
    gc.collect()
    give_back_memory()
    return resident("VmRSS") * 1024


def main(count):
    torch.set_num_threads(1)
    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(file, "PNG")
    for file_name in (None, "scores.csv"):
        with tempfile.TemporaryDirectory() as folder:
            out = None if file_name is None else Path(folder, file_name)
            sources = (Tiny(f"folder/of/photos/{number:07}.png", file.getvalue()) for number in range(FEW + count))
            start, few, before = time.perf_counter(), 0.0, 0
            for number, _ in enumerate(score_paths(Number(), sources, out=out, device="cpu", workers=1), 1):
                if number == FEW:
                    few, before = (time.perf_counter() - start) / FEW, held()
                    start = time.perf_counter()
                if number == count:  # before the file is made from the journal
                    many, grown = (time.perf_counter() - start) / (count - FEW), (held() - before) / count
            print(f"{file_name or 'no file'}: {1000 * few:.3f} ms per image at {FEW:,}, {1000 * many:.3f} at {count:,}")
            print(f"  ratio {many / few:.2f}; {grown:.0f} bytes per image stay")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200_000)
