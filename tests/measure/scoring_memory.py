"""Peak memory of scoring one picture on a CPU, in bytes per pixel beyond its 8-bit pixels: docs/performance.md's table.

python tests/measure/scoring_memory.py [--megapixels 6]

Linux only. Each figure is from a process of its own that has scored a small picture: the highest resident memory while
the large one is scored, less that before.
"""

import argparse
import math
import tempfile
from pathlib import Path

import torch
from timing import alone, peak

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.images.batches import stacked
from clipiqa_pyiqa.metric import scoring_bytes

BACKBONES = ("mini", "RN50", "ViT-B/32", "ViT-B/16", "ViT-L/14")
WORKS = ("score", "maps", "stages", "gradient")


def memory(backbone, weights, work, megapixels):
    """Return the bytes per pixel that the work takes and those that are counted for it, the pixels' 3 included."""
    metric = CLIPIQA(backbone=backbone, clip_weights=weights, quick_gelu=True if weights else None).eval()
    do(metric, work, torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    width = round(math.sqrt(1e6 * megapixels * 4 / 3))
    pixels = torch.randint(256, (1, width * 3 // 4, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    taken = 1e6 * peak(lambda: do(metric, work, pixels)) / (pixels.numel() / 3)
    return taken + 3, scoring_bytes(metric, torch.device("cpu"), "score" if work == "gradient" else work)


def do(metric, work, pixels):
    with torch.set_grad_enabled(work == "gradient"):
        x = stacked(list(pixels), "cpu")
        if work == "score":
            metric.score(metric.encode_image(x))
        elif work == "maps":
            metric.score(metric.encode_with_map(x)[1])
        elif work == "stages":
            metric.encode_stages(x)
        else:
            metric(x.requires_grad_()).sum().backward()


def main():
    from seeded import save_seeded

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=6)
    size = parser.parse_args().megapixels
    with tempfile.TemporaryDirectory() as folder:
        for backbone in BACKBONES:
            weights = None if backbone == "mini" else save_seeded(Path(folder), backbone)
            for work in WORKS:
                taken, counted = alone(memory, backbone, weights, work, size)
                print(f"{backbone:9}{work:9}{size:g} megapixels: {taken:.0f}, counted {counted:.0f}", flush=True)


if __name__ == "__main__":
    main()
