"""What a score costs by backbone and metric, for docs/performance.md: calls in turns, one thread, medians and ratios.

    python tests/measure/choosing_costs.py [name=FILE ...]   # parameters of metrics that would be downloaded

Weights of RN50 and ViT-B/32 are seeded ones of the full architecture: time does not depend on their values.
"""

import sys
from functools import partial
from statistics import median

import pyiqa
import torch
from timing import in_turns, new_folder, ratio, seeded

from clipiqa_pyiqa import CLIPIQA


def main():
    torch.set_num_threads(1)
    x = torch.nn.functional.interpolate(torch.rand(1, 3, 24, 32), size=(384, 512), mode="bilinear")
    nets = {"piqe": pyiqa.create_metric("piqe", device="cpu")}
    for given in sys.argv[1:]:
        name, _, file = given.partition("=")
        nets[name] = pyiqa.create_metric(name, pretrained_model_path=file, device="cpu")
    with new_folder() as folder, torch.inference_mode():
        nets |= {backbone: CLIPIQA(**seeded(backbone, folder)) for backbone in ("mini", "RN50", "ViT-B/32")}
        times = in_turns({name: partial(net, x) for name, net in nets.items()}, 7)
    for name, taken in times.items():
        print(f"{name}: {1000 * median(taken):.0f} ms, by RN50's: {ratio(taken, times['RN50'])}")


if __name__ == "__main__":
    main()
