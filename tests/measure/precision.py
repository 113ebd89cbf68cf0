"""What bf16 and fp16 change in scores and in time, computed in themselves and in fp32; figures of docs/performance.md.

    python tests/measure/precision.py scores PHOTOS [--backbone mini | --clip-weights FILE]
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python tests/measure/precision.py time [--rounds 5]

``time`` takes turns with fp32 and prints the median ratio of one thread's processor time. The two variables make this
processor one without AVX-512, and ``ONEDNN_MAX_CPU_ISA=AVX512_CORE`` makes it one with AVX-512 but without bf16.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip import device
from clipiqa_pyiqa.images.formats import image_suffixes
from clipiqa_pyiqa.images.reader import read_image

PAIRS = ["quality", "brightness", "noisiness", "sharpness"]
WAYS = {f"{precision}{way}": (precision, bool(way)) for precision in ("bf16", "fp16") for way in ("", " in fp32")}
SIDE = 512


@contextmanager
def processor(is_slow: bool) -> Iterator[None]:
    """A processor that is slow in bf16 and fp16, or one that is fast in both."""
    with mock.patch.object(device, "is_slow_on_cpu", lambda dtype: is_slow and dtype.itemsize == 2):
        yield


def measure_scores(nets: dict[str, CLIPIQA], photos: list[Path]) -> None:
    suffixes = image_suffixes()
    paths = sorted(path for folder in photos for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    moved: dict[tuple[str, str], tuple[list[Tensor], list[Tensor]]] = {}
    for path in paths:
        x = read_image(path).pixels[None].float() / 255
        features, scores = {}, {}
        for name, net in nets.items():
            with torch.inference_mode(), processor(WAYS.get(name, ("", False))[1]):
                features[name] = net.encode_image(x)
                scores[name] = net.score(features[name], PAIRS, aggregate=None)
        for name, other in [(name, "fp32") for name in WAYS] + [(f"{p} in fp32", p) for p in ("bf16", "fp16")]:
            of_scores, of_features = moved.setdefault((name, other), ([], []))
            of_scores.append((scores[name] - scores[other]).abs().flatten())
            of_features.append((features[name] - features[other]).norm(dim=-1))
    print(f"{len(paths)} photos, {', '.join(PAIRS)}\n")
    print("| precision | from | score, largest | median | feature (L2), largest | median |\n|---|---|---|---|---|---|")
    for (name, other), found in moved.items():
        score, feature = map(torch.cat, found)
        far = f"{score.max():.4f} | {score.median():.4f} | {feature.max():.4f} | {feature.median():.4f}"
        print(f"| {name} | {other} | {far} |")


def measure_time(nets: dict[str, CLIPIQA], rounds: int) -> None:
    torch.set_num_threads(1)
    x = torch.rand(1, 3, SIDE, SIDE)

    def gradient(net: CLIPIQA) -> None:
        with torch.enable_grad():
            net(x.clone().requires_grad_()).sum().backward()

    works: dict[str, Callable[[CLIPIQA], Any]] = {
        "score": lambda net: net.encode_image(x),
        "map": lambda net: net.encode_map(x),
        "gradient": gradient,
    }
    print(
        f"1×{SIDE}×{SIDE}, median ratio to fp32 and range\n\n| work | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}"
    )
    for work, call in works.items():
        cells = []
        for name in WAYS:
            pairs = [
                (_seconds(call, nets["fp32"], "fp32"), _seconds(call, nets[name], name)) for _ in range(rounds + 1)
            ]
            ratios = [other / fp32 for fp32, other in pairs[1:]]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {work} | {' | '.join(cells)} |", flush=True)


def _seconds(call: Callable[[CLIPIQA], Any], net: CLIPIQA, name: str) -> float:
    with torch.no_grad(), processor(WAYS.get(name, ("", False))[1]):
        start = time.process_time()
        call(net)
        return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scores", "time"))
    parser.add_argument("photos", type=Path, nargs="*", help="folders, searched recursively")
    parser.add_argument("--backbone", default="RN50")
    parser.add_argument("--clip-weights")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    options: dict[str, Any] = {"backbone": args.backbone, "clip_weights": args.clip_weights}
    precisions = {"fp32": "fp32", **{name: precision for name, (precision, _) in WAYS.items()}}
    nets = {name: CLIPIQA(**options, precision=precision).eval() for name, precision in precisions.items()}
    print(args.backbone, end=", ")
    if args.what == "time":
        measure_time(nets, args.rounds)
    else:
        measure_scores(nets, args.photos)


if __name__ == "__main__":
    main()
