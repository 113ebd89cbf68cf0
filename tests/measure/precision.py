"""What bf16 and fp16 change in scores and in time, computed in themselves and in fp32; figures of docs/performance.md.

    python tests/measure/precision.py scores PHOTOS [--backbone mini]
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python tests/measure/precision.py time

``time`` takes turns with fp32 and prints the median ratio of one thread's processor time. The two variables make this
processor one without AVX-512, and ``ONEDNN_MAX_CPU_ISA=AVX512_CORE`` makes it one with AVX-512 but without bf16.
"""

import argparse
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from timing import in_turns, ratio

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip import device
from clipiqa_pyiqa.images.formats import image_suffixes
from clipiqa_pyiqa.images.reader import read_image

PAIRS = ["quality", "brightness", "noisiness", "sharpness"]
WAYS = {f"{precision}{way}": (precision, bool(way)) for precision in ("bf16", "fp16") for way in ("", " in fp32")}
SIDE = 512


@contextmanager
def processor(is_slow):
    """A processor that is slow in bf16 and fp16, or one that is fast in both."""
    with mock.patch.object(device, "is_slow_on_cpu", lambda dtype: is_slow and dtype.itemsize == 2):
        yield


def measure_scores(nets, photos):
    suffixes = image_suffixes()
    paths = sorted(path for folder in photos for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    moved = {name: [] for name in WAYS}
    for path in paths:
        x = read_image(path).pixels[None].float() / 255
        scores = {}
        for name, net in nets.items():
            with torch.inference_mode(), processor(WAYS.get(name, ("", False))[1]):
                scores[name] = net.score(net.encode_image(x), PAIRS, aggregate=None)
        for name, found in moved.items():
            found.append((scores[name] - scores["fp32"]).abs().flatten())
    print(f"{len(paths)} photos, {', '.join(PAIRS)}; far from fp32\n\n| precision | largest | median |\n|---|---|---|")
    for name, distances in moved.items():
        distance = torch.cat(distances)
        print(f"| {name} | {distance.max():.4f} | {distance.median():.4f} |")


def measure_time(nets):
    torch.set_num_threads(1)
    x = torch.rand(1, 3, SIDE, SIDE)

    def score(name):
        with torch.no_grad(), processor(WAYS.get(name, ("", False))[1]):
            nets[name].encode_image(x)

    taken = in_turns({name: partial(score, name) for name in nets}, 5, time.process_time)
    print(f"score of 1×{SIDE}×{SIDE}, median ratio to fp32 | range")
    for name in WAYS:
        print(f"| {name} | {ratio(taken[name], taken['fp32'])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scores", "time"))
    parser.add_argument("photos", type=Path, nargs="*", help="folders, searched recursively")
    parser.add_argument("--backbone", default="RN50")
    args = parser.parse_args()
    precisions = {"fp32": "fp32", **{name: precision for name, (precision, _) in WAYS.items()}}
    nets = {name: CLIPIQA(backbone=args.backbone, precision=each).eval() for name, each in precisions.items()}
    print(args.backbone, end=", ")
    if args.what == "time":
        measure_time(nets)
    else:
        measure_scores(nets, args.photos)


if __name__ == "__main__":
    main()
