"""Time and memory of the family's metrics beside pyiqa's own classes, as ratios; run as a script, as no test.

    python tests/measure/family_speed.py [--rounds 5] [--threads 2] [--only liqe]

Both sides take turns on the same seeded weights, in fp32; a ratio is pyiqa's time by ours, the median of the rounds.
pyiqa's maclip scores one image a call, so a batch of eight is scored one by one there. Creation begins with all modules
imported, the file's hash known and pyiqa's caches empty. Needs openai's clip and 'setuptools<82'.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipiqa_pyiqa.images.memory import give_back_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from family_pairs import builders, on_cpu
from seeded import save_seeded
from speed import resident

BACKBONES = {"maclip": "RN50", "qualiclip": "RN50", "liqe": "ViT-B/32", "laion_aes": "ViT-L/14"}
SIDES = ("ours", "pyiqa's")
LARGE, SMALL, BATCH = (1, 768, 1024), (1, 224, 224), (8, 224, 224)


def images(shape: tuple[int, int, int]) -> Tensor:
    """Return random images, (N, 3, H, W): times do not depend on what they show."""
    count, height, width = shape
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def score(net: nn.Module, x: Tensor, singly: bool = False) -> None:
    """Score a batch, or its images one by one."""
    with torch.no_grad():
        for part in x.split(1) if singly else [x]:
            net(part)


def in_pairs(works: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Return the seconds of both sides in each round, after one that does not count; who begins alternates."""
    found = []
    for number in range(rounds + 1):
        took = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            gc.collect()
            start = time.perf_counter()
            works[side]()
            took[side] = time.perf_counter() - start
        found.append(took)
    return found[1:]


def row(name: str, pairs: list[list[float]]) -> str:
    """Return a line of the table."""
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(its / mine for mine, its in pairs)
    span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return f"| {name} | {ours:.3f} s | {theirs:.3f} s | {statistics.median(ratios):.2f} | {span} |"


def measure(name: str, folder: Path, rounds: int) -> None:
    """Print the lines of one metric."""
    builds = builders_of(name, folder)
    print(row(f"{name}, creation", in_pairs(list(builds), rounds)), flush=True)
    small = images(SMALL)
    first: list[Callable[[], Any]] = [lambda build=build: score(build(), small) for build in builds]  # type: ignore[misc]
    print(row(f"{name}, creation and 1×224²", in_pairs(first, rounds)), flush=True)
    nets = [build() for build in builds]
    for shape in (LARGE, BATCH):
        x = images(shape)
        works = [lambda: score(nets[0], x), lambda: score(nets[1], x, singly=True)]  # noqa: B023
        print(row(f"{name}, {'×'.join(map(str, shape))}", in_pairs(works, rounds)), flush=True)


def builders_of(name: str, folder: Path) -> tuple[Callable[[], nn.Module], Callable[[], nn.Module]]:
    """Return both sides' builders on the weights in a folder, with files of their own in a new one below it."""
    backbone = BACKBONES[name]
    weights = folder / f"{backbone.replace('/', '-')}.safetensors"
    if not weights.exists():
        save_seeded(folder, backbone)
    return builders(name, weights, Path(tempfile.mkdtemp(dir=folder)), backbone)


def peak(side: str, name: str, folder: Path) -> float:
    """Return the megabytes that this process needs for a large image beyond the loaded metric."""
    net = builders_of(name, folder)[SIDES.index(side)]()
    score(net, images(SMALL))  # what is made once
    x = images(LARGE)
    gc.collect()
    give_back_memory()  # or what was freed before would serve
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    score(net, x)
    return (resident("VmHWM") - before) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)  # side, name and folder, in a process of its own
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with on_cpu(), tempfile.TemporaryDirectory(prefix="clipiqa-family-") as temporary:
        if args.peak:
            print(peak(args.peak[0], args.peak[1], Path(args.peak[2])))
            return
        folder = Path(temporary)
        capability = torch.backends.cpu.get_cpu_capability()
        print(f"torch {torch.__version__}, {capability}, {args.threads} threads, {args.rounds} rounds\n")
        print("| work | ours | pyiqa's | ratio | range |\n" + "|---" * 5 + "|")
        for name in args.only:
            measure(name, folder, args.rounds)
            command = [sys.executable, __file__, "--threads", str(args.threads), "--peak"]
            megabytes = []
            for side in SIDES:
                done = subprocess.run([*command, side, name, folder], check=True, capture_output=True, text=True)
                megabytes.append(float(done.stdout.split()[-1]))
            ours, theirs = megabytes
            print(f"| {name}, peak memory | {ours:.0f} MB | {theirs:.0f} MB | {ours / theirs:.2f} | |", flush=True)


if __name__ == "__main__":
    main()
