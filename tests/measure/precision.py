"""What bf16 and fp16 change in scores and in time, computed in themselves and in fp32; figures of docs/performance.md.

    python tests/measure/precision.py scores PHOTOS [--backbone mini]
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python tests/measure/precision.py time

``time`` takes turns with fp32 and prints the median ratio of one thread's processor time. The two variables make this
processor one without AVX-512, and ``ONEDNN_MAX_CPU_ISA=AVX512_CORE`` makes it one with AVX-512 but without bf16.
"""

import time
from functools import partial
from unittest import mock

import torch
from timing import arguments, head, in_turns, photos, pixels, ratio, row

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip import device

PAIRS = ["quality", "brightness", "noisiness", "sharpness"]
WAYS = {f"{precision}{way}": (precision, bool(way)) for precision in ("bf16", "fp16") for way in ("", " in fp32")}
SIDE = 512


def scorer(backbone, precision, is_slow):
    """Return a function from images to scores, on a processor that is slow in bf16 and fp16, or fast in both."""
    net = CLIPIQA(backbone=backbone, precision=precision).eval()
    processor = mock.patch.object(device, "is_slow_on_cpu", lambda dtype: is_slow and dtype.itemsize == 2)

    def score(x):
        with torch.no_grad(), processor:
            return net.score(net.encode_image(x), PAIRS, aggregate=None)

    return score


def measure_scores(scorers, paths):
    distances = {name: [] for name in WAYS}
    for path in paths:
        x = pixels(path)[None]
        scores = {name: score(x) for name, score in scorers.items()}
        for name, found in distances.items():
            found.append((scores[name] - scores["fp32"]).abs())
    print(f"{len(paths)} photos, {', '.join(PAIRS)}; far from fp32\n")
    head("precision", "largest", "median")
    for name, found in distances.items():
        distance = torch.cat(found)
        row(name, f"{distance.max():.4f}", f"{distance.median():.4f}")


def measure_time(scorers):
    torch.set_num_threads(1)
    x = torch.rand(1, 3, SIDE, SIDE)
    taken = in_turns({name: partial(score, x) for name, score in scorers.items()}, 5, time.process_time)
    print(f"score of 1×{SIDE}×{SIDE}\n")
    head("precision", "median ratio to fp32", "range")
    for name in WAYS:
        row(name, ratio(taken[name], taken["fp32"]))


def main():
    args = arguments("what", "photos*", backbone="RN50")
    scorers = {name: scorer(args.backbone, *way) for name, way in {"fp32": ("fp32", False), **WAYS}.items()}
    print(args.backbone, end=", ")
    if args.what.name == "time":
        measure_time(scorers)
    else:
        measure_scores(scorers, photos(*args.photos))


if __name__ == "__main__":
    main()
