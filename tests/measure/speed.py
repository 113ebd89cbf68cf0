"""How fast our metric is beside pyiqa's own class on the same seeded weights; run as a script, as no test.

    python tests/measure/speed.py [--rounds 5] [--device cuda] [--precision bf16] [--only score] [--backbones RN50 mini]

For each work the two take turns (ours, pyiqa's, pyiqa's, ours, …), so that other work on the machine disturbs both
alike; printed are the median seconds of each, and the median and the range of the rounds' ratios ours / pyiqa's. Peak
memory is what a fresh process needs beyond the loaded network, images included (Linux; on CUDA what torch allocated).
Both sides ask pyiqa's five pairs. pyiqa has no map and no mini: a map is compared with its score, mini with its RN50.
Its class needs openai's ``clip``, and so setuptools before 82. Compare on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from clipiqa_pyiqa import CLIPIQA

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from seeded import save_seeded

ROWS = {  # backbone -> work and the shapes of its images
    "RN50": {
        "score": ((1, 224, 224), (8, 224, 224), (1, 384, 512), (1, 768, 1024)),
        "loss": ((4, 512, 512), (1, 1024, 1024)),
        "map": ((1, 512, 512),),
    },
    "ViT-B/32": {"score": ((8, 224, 224),), "loss": ((4, 224, 224),)},
    "mini": {"score": ((1, 224, 224), (1, 768, 1024)), "loss": ((4, 512, 512),), "map": ((1, 512, 512),)},
}
SIDES = ("ours", "pyiqa's")


@cache
def built(side: str, backbone: str, folder: Path, device: str, precision: str) -> Any:
    """Return a side's network, on the weights in a folder."""
    if side == "pyiqa's":
        from pyiqa.archs import clip_model, clipiqa_arch

        backbone = "RN50" if backbone == "mini" else backbone
        weights = {key: value.float() for key, value in load_file(weights_in(folder, backbone)).items()}
        clipiqa_arch.load = lambda *_: clip_model.build_model(weights).float()
        return clipiqa_arch.CLIPIQA(backbone=backbone).eval().to(device)
    own: dict[str, Any] = (
        {} if backbone == "mini" else {"clip_weights": weights_in(folder, backbone), "quick_gelu": True}
    )
    return CLIPIQA(backbone=backbone, prompts="pyiqa", precision=precision, **own).eval()


def weights_in(folder: Path, backbone: str) -> Path:
    """Return the file that ``save_seeded`` writes."""
    return folder / f"{backbone.replace('/', '-')}.safetensors"


def images(shape: tuple[int, ...], device: str) -> torch.Tensor:
    """Return random images, (N, 3, H, W): times do not depend on what they show."""
    count, height, width = shape
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)


def do(net: Any, work: str, x: torch.Tensor) -> None:
    """Score, map, or take the gradient of the mean score to the pixels."""
    if work == "loss":
        net(x.requires_grad_()).mean().backward()
        x.grad = None
    else:
        with torch.no_grad():
            net.score_map(x) if work == "map" and hasattr(net, "score_map") else net(x)
    if x.is_cuda:
        torch.cuda.synchronize()


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(
    args: argparse.Namespace, folder: Path, backbone: str, work: str, shape: tuple[int, ...]
) -> list[list[float]]:
    """Return the seconds of both sides in each round, after one that does not count; who begins alternates."""
    nets = [built(side, backbone, folder, args.device, args.precision) for side in SIDES]
    x, rounds = images(shape, args.device), []
    for number in range(args.rounds + 1):
        took = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            took[side] = seconds(lambda net=nets[side]: do(net, work, x))  # type: ignore[misc]
        rounds.append(took)
    return rounds[1:]


def peak(side: str, backbone: str, folder: Path, args: argparse.Namespace, work: str, shape: tuple[int, ...]) -> float:
    """Return the megabytes that this process needs for one work beyond the loaded network."""
    net = built(side, backbone, folder, args.device, args.precision)
    do(net, "score", images((1, 64, 64), args.device))  # what is made once
    if args.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        do(net, work, images(shape, args.device))
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    do(net, work, images(shape, args.device))
    return (resident("VmHWM") - before) / 1e3


def resident(name: str) -> int:
    """Return a line of this process's status, in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def peaks(args: argparse.Namespace, folder: Path, backbone: str, work: str, shape: tuple[int, ...]) -> list[float]:
    """Return the peak of both sides, each in a process of its own."""
    options = ["--device", args.device, "--precision", args.precision, "--threads", str(args.threads)]
    found = []
    for side in SIDES:
        command = [sys.executable, __file__, *options, "--peak", side, backbone, str(folder), work, *map(str, shape)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(float(done.stdout.split()[-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", help="of ours; pyiqa's is fp32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--backbones", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--only", default="", help="rows whose name contains this, such as loss or 224")
    parser.add_argument("--peak", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        side, backbone, folder, work, *shape = args.peak
        print(peak(side, backbone, Path(folder), args, work, tuple(map(int, shape))))
        return
    with tempfile.TemporaryDirectory(prefix="clipiqa-speed-") as name:
        folder = Path(name)
        for backbone in {"RN50" if backbone == "mini" else backbone for backbone in args.backbones}:
            save_seeded(folder, backbone)
        said = f"torch {torch.__version__}, {args.device}, {args.threads} threads, {args.precision}"
        print(f"{said}, {args.rounds} rounds\n")
        print("| work | ours, s | pyiqa's, s | ratio | range | ours, MB | pyiqa's, MB | ratio |\n" + "|---" * 8 + "|")
        for backbone in args.backbones:
            for work, shapes in ROWS[backbone].items():
                for shape in shapes:
                    row = f"{backbone} {work} {'×'.join(map(str, shape))}"
                    if args.only in row:
                        print(measured(row, args, folder, backbone, work, shape), flush=True)


def measured(row: str, args: argparse.Namespace, folder: Path, backbone: str, work: str, shape: tuple[int, ...]) -> str:
    """Return a row of the table."""
    rounds = timed(args, folder, backbone, work, shape)
    ours, theirs = (statistics.median(side) for side in zip(*rounds, strict=True))
    ratios = sorted(mine / its for mine, its in rounds)
    memory = peaks(args, folder, backbone, work, shape)
    time_cells = f"{ours:.3f} | {theirs:.3f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f}"
    return f"| {row} | {time_cells} | {memory[0]:.0f} | {memory[1]:.0f} | {memory[0] / memory[1]:.2f} |"


if __name__ == "__main__":
    main()
