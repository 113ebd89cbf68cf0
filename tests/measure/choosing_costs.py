"""What a score costs by backbone and metric, for docs/performance.md: calls in turns, one thread, medians and ratios.

    python tests/measure/choosing_costs.py [name=FILE ...]   # parameters of metrics that would be downloaded

Weights of RN50 and ViT-B/32 are seeded ones of the full architecture: time does not depend on their values.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyiqa
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from seeded import save_seeded

from clipiqa_pyiqa import CLIPIQA


def main() -> None:
    torch.set_num_threads(1)
    x = torch.nn.functional.interpolate(torch.rand(1, 3, 24, 32), size=(384, 512), mode="bilinear")
    calls = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for backbone in ("RN50", "ViT-B/32"):
            weights = save_seeded(Path(folder), backbone)
            net = CLIPIQA(backbone=backbone, clip_weights=weights, quick_gelu=True)
            net(x)
            calls[backbone] = net
        mini = CLIPIQA(backbone="mini")
        calls["mini"] = mini
        calls["mini, with its map"] = mini.encode_with_map
        calls["piqe"] = pyiqa.create_metric("piqe", device="cpu")
        for given in sys.argv[1:]:
            name, _, file = given.partition("=")
            calls[name] = pyiqa.create_metric(name, pretrained_model_path=file, device="cpu")
        times = {name: [] for name in calls}
        for round in range(8):
            for name, call in calls.items():
                start = time.perf_counter()
                call(x)
                if round:
                    times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        ratio = median(a / b for a, b in zip(taken, times["RN50"], strict=True))
        print(f"{name}: {1000 * median(taken):.0f} ms, {ratio:.2f} of RN50's")


if __name__ == "__main__":
    main()
