"""What bf16 and fp16 change in scores and in time; figures of docs/performance.md.

    python tests/measure/precision.py scores PHOTOS [--backbone mini]
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python tests/measure/precision.py time

``time`` takes turns with fp32 and prints the median ratio of one thread's processor time. The two variables make this
processor one without AVX-512, and ``ONEDNN_MAX_CPU_ISA=AVX512_CORE`` makes it one with AVX-512 but without bf16.
"""

import time
from functools import partial

import torch
from timing import arguments, head, in_turns, photos, pixels, ratio, row

from clipiqa_pyiqa import CLIPIQA

PAIRS = ["quality", "brightness", "noisiness", "sharpness"]
WAYS = ("bf16", "fp16")
SIDE = 512


def measure_scores(metrics, paths):
    found = [{way: net(pixels(path)[None], PAIRS, None) for way, net in metrics.items()} for path in paths]
    print(f"{len(paths)} photos, {', '.join(PAIRS)}; far from fp32\n")
    head("precision", "largest", "median")
    for way in WAYS:
        distance = torch.cat([(scores[way] - scores["fp32"]).abs() for scores in found])
        row(way, f"{distance.max():.4f}", f"{distance.median():.4f}")


def measure_time(metrics):
    torch.set_num_threads(1)
    x = torch.rand(1, 3, SIDE, SIDE)
    taken = in_turns({way: partial(net, x, PAIRS, None) for way, net in metrics.items()}, 5, time.process_time)
    print(f"score of 1×{SIDE}×{SIDE}\n")
    head("precision", "median ratio to fp32", "range")
    for way in WAYS:
        row(way, ratio(taken[way], taken["fp32"]))


def main():
    args = arguments("what", "photos*", backbone="RN50")
    metrics = {way: CLIPIQA(backbone=args.backbone, precision=way).eval() for way in ("fp32", *WAYS)}
    print(args.backbone, end=", ")
    with torch.no_grad():
        if args.what.name == "time":
            measure_time(metrics)
        else:
            measure_scores(metrics, photos(*args.photos))


if __name__ == "__main__":
    main()
