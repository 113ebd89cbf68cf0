"""Peak memory of scoring one picture on a CPU, in bytes per pixel beyond its 8-bit pixels: docs/performance.md's table.

python tests/measure/scoring_memory.py [--megapixels 6] [--backbones mini RN50]

Linux only. Each figure is from a process of its own that has scored a small picture: the highest resident memory while
the large one is scored, less that before.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.images.batches import stacked
from clipiqa_pyiqa.images.memory import give_back_memory
from clipiqa_pyiqa.metric import scoring_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from seeded import save_seeded

BACKBONES = ("mini", "RN50", "ViT-B/32", "ViT-B/16", "ViT-L/14")
WORKS = ("score", "maps", "stages", "gradient")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[6])
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--works", nargs="+", default=WORKS)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(*one(*args.one))
        return
    with tempfile.TemporaryDirectory() as folder:
        for backbone in args.backbones:
            weights = "" if backbone == "mini" else str(save_seeded(Path(folder), backbone))
            for work in args.works:
                for size in args.megapixels:
                    command = [sys.executable, __file__, "--one", backbone, weights, work, str(size)]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    taken, counted = map(float, done.stdout.split())
                    print(f"{backbone:9}{work:9}{size:g} megapixels: {taken:.0f}, counted {counted:.0f}", flush=True)


def one(backbone: str, weights: str, work: str, megapixels: str) -> tuple[float, int]:
    """Return the bytes per pixel that the work takes and those that are counted for it, the pixels' 3 included."""
    metric = CLIPIQA(backbone=backbone, clip_weights=weights or None, quick_gelu=True if weights else None).eval()
    run(metric, work, torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    width = round(math.sqrt(1e6 * float(megapixels) * 4 / 3))
    pixels = torch.randint(256, (1, width * 3 // 4, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    give_back_memory()
    Path("/proc/self/clear_refs").write_text("5")  # the highest is what it is now
    before = memory("VmRSS")
    run(metric, work, pixels)
    taken = (memory("VmHWM") - before) / (pixels.numel() / 3)
    return taken + 3, scoring_bytes(metric, torch.device("cpu"), "score" if work == "gradient" else work)


def run(metric: CLIPIQA, work: str, pixels: torch.Tensor) -> None:
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


def memory(which: str) -> int:
    """Return a figure of this process's memory in bytes."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


if __name__ == "__main__":
    main()
