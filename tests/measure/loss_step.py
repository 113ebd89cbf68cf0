"""How much longer a training step takes with ``CLIPIQALoss``, for docs/loss.md; run as a script, as no test.

    python tests/measure/loss_step.py [--backbones mini] [--rounds 9] [--side 96] [--batch 4]

The networks are those of docs/examples/restoration.py in two sizes. A step restores a batch of squares on one thread,
by L1 alone or by L1 and ``CLIPIQALoss``; steps take turns. Printed is the time with the loss divided by that without
it, as processor time: the median and the range of the rounds.
"""

import statistics
import sys
import time
from functools import partial
from pathlib import Path

import torch
from timing import arguments, head, images, in_turns, new_folder, ratio, row, seeded
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQALoss

sys.path.insert(0, str(Path(__file__).parents[2] / "docs/examples"))
from restoration import Denoiser

NETWORKS = {"large": (64, 2), "small": (24, 2)}  # width and blocks
STEPS = 5  # in each turn


def train(net, optimiser, degraded, clean, criterion=None):
    for _ in range(STEPS):
        restored = net(degraded)
        loss = F.l1_loss(restored, clean)
        if criterion is not None:
            loss = loss + criterion(restored, clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def main():
    args = arguments(backbones=["mini"], rounds=9, side=96, batch=4)
    torch.set_num_threads(1)
    clean = images(args.batch, args.side, args.side)
    degraded = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    head("backbone", "parameters of the network", "ms without", "ratio", "range")
    with new_folder() as folder:
        for backbone in args.backbones:
            criterion = CLIPIQALoss(**seeded(backbone, folder), prompts="quality", share=0.3, beside="l1")
            for size in NETWORKS.values():
                net = Denoiser(*size)
                optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
                step = partial(train, net, optimiser, degraded, clean)
                works = {"with": partial(step, criterion), "without": step}
                seconds = in_turns(works, args.rounds, time.process_time)
                parameters = sum(weight.numel() for weight in net.parameters())
                milliseconds = f"{1000 * statistics.median(seconds['without']) / STEPS:.1f}"
                row(backbone, parameters, milliseconds, ratio(seconds["with"], seconds["without"]))


if __name__ == "__main__":
    main()
