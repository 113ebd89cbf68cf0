"""Peak memory of scoring one picture on a CPU, in bytes per pixel beyond its 8-bit pixels: docs/performance.md's table.

    python tests/measure/scoring_memory.py [--megapixels 6]

Linux only. Each figure is from a process of its own that has scored a small picture: the highest resident memory while
the large one is scored, less that before.
"""

import math

import torch
from timing import alone, arguments, new_folder, peak, seeded

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.images.scoring_memory import scoring_bytes
from clipiqa_pyiqa.workbench.images.stacking import stacked

BACKBONES = ("mini", "RN50", "ViT-B/32", "ViT-B/16", "ViT-L/14")
WORKS = {
    "score": lambda metric, x: metric.score(metric.encode_image(x)),
    "maps": lambda metric, x: metric.score(metric.encode_with_map(x)[1]),
    "stages": lambda metric, x: metric.encode_stages(x),
    "gradient": lambda metric, x: metric(x.requires_grad_()).sum().backward(),
}


def memory(backbone, folder, work, megapixels):
    """Return the bytes per pixel that the work takes and those that are counted for it, the pixels' 3 included."""
    metric = CLIPIQA(**seeded(backbone, folder)).eval()

    def do(pixels):
        with torch.set_grad_enabled(work == "gradient"):
            WORKS[work](metric, stacked(list(pixels), torch.device("cpu")))

    do(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    width = round(math.sqrt(1e6 * megapixels * 4 / 3))
    pixels = torch.randint(256, (1, width * 3 // 4, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    taken = 1e6 * peak(lambda: do(pixels)) / (pixels.numel() / 3)
    return taken + 3, scoring_bytes(metric, torch.device("cpu"), "score" if work == "gradient" else work)


def main():
    size = arguments(megapixels=6.0).megapixels
    with new_folder() as folder:
        for backbone in BACKBONES:
            for work in WORKS:
                taken, counted = alone(memory, backbone, folder, work, size)
                print(f"{backbone:9}{work:9}{size:g} megapixels: {taken:.0f}, counted {counted:.0f}")


if __name__ == "__main__":
    main()
