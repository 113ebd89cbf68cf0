"""What scoring costs beside reading and the metric: time and lasting memory per image; run as a script, as no test.

    python tests/measure/engine_cost.py [--images 200000]

Tiny images in memory are scored by a metric that returns a number, once without a file and once into a CSV file.
Printed are the time per image at 2,000 images and at all, and how far the process has grown between them, per image.
To compare with another checkout, run the script with PYTHONPATH set to it.
"""

import gc
import io
import time

import torch
from PIL import Image
from timing import arguments, new_folder, resident

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.workbench.images.image import BytesImage
from clipiqa_pyiqa.workbench.images.system_memory import give_back_memory

FEW = 2000


class Tiny(BytesImage):
    """An image whose bytes all images share."""

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
    return resident("VmRSS")


def main():
    torch.set_num_threads(1)
    count = arguments(images=200_000).images
    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(file, "PNG")
    data = file.getvalue()
    for name in (None, "scores.csv"):
        with new_folder() as folder:
            sources = (Tiny(f"photos/{number:07}.png", data) for number in range(FEW + count))
            rows = score_paths(Number(), sources, out=name and folder / name, device="cpu", workers=1)
            start = time.perf_counter()
            for number, _ in enumerate(rows, 1):
                if number == FEW:
                    few = (time.perf_counter() - start) / FEW
                    before = held()
                    start = time.perf_counter()
                if number == count:  # before the file is made from the journal
                    many = (time.perf_counter() - start) / (count - FEW)
                    grown = (held() - before) / count
            print(f"{name or 'no file'}: {1000 * few:.3f} ms per image at {FEW:,}, {1000 * many:.3f} at {count:,}")
            print(f"  ratio {many / few:.2f}; {grown:.0f} bytes per image stay")


if __name__ == "__main__":
    main()
