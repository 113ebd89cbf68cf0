"""Time and memory of the family's metrics beside pyiqa's own classes, as ratios; run as a script, as no test.

    python tests/measure/family_speed.py [--rounds 5] [--threads 2]

Both sides take turns on the same seeded weights, in fp32; a ratio is pyiqa's time by ours, the median of the rounds.
pyiqa's maclip scores one image a call, so a batch of eight is scored one by one there. Creation begins with all modules
imported, the file's hash known and pyiqa's caches empty. Needs openai's clip and 'setuptools<82'.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import torch
from timing import alone, arguments, head, images, in_turns, new_folder, peak, ratio, row, seeded  # and a path

# isort: split
from family_pairs import builders, on_cpu

BACKBONES = {"maclip": "RN50", "qualiclip": "RN50", "liqe": "ViT-B/32", "laion_aes": "ViT-L/14"}
SIDES = ("ours", "pyiqa's")
SMALL = (1, 224, 224)
SHAPES = ((1, 768, 1024), (8, 224, 224))


def score(side, net, x):
    """Score a batch; with pyiqa its images one by one."""
    with torch.no_grad():
        for part in [x] if side == "ours" else x.split(1):
            net(part)


def create_and_score(side, build):
    score(side, build(), images(*SMALL))


def builders_of(name, folder):
    """Return both sides' builders on the weights in a folder, with files of their own in a new one below it."""
    backbone = BACKBONES[name]
    weights = seeded(backbone, folder)["clip_weights"]
    return dict(zip(SIDES, builders(name, weights, Path(tempfile.mkdtemp(dir=folder)), backbone), strict=True))


def memory(side, name, folder, threads):
    """Return the megabytes that this process needs for a large image beyond the loaded metric."""
    torch.set_num_threads(threads)
    with on_cpu():
        net, x = builders_of(name, folder)[side](), images(*SHAPES[0])
        score(side, net, images(*SMALL))  # what is made once
        return peak(lambda: score(side, net, x))


def main():
    args = arguments(rounds=5, threads=torch.get_num_threads())
    torch.set_num_threads(args.threads)
    head("work", *SIDES, "ratio", "range")
    with on_cpu(), new_folder() as folder:
        for name in BACKBONES:
            build = builders_of(name, folder)
            nets = {side: build[side]() for side in SIDES}
            works = {"creation and 1×224²": {side: partial(create_and_score, side, build[side]) for side in SIDES}}
            for shape in SHAPES:
                x = images(*shape)
                works["×".join(map(str, shape))] = {side: partial(score, side, nets[side], x) for side in SIDES}
            for what, pair in works.items():
                taken = in_turns(pair, args.rounds)
                seconds = (f"{statistics.median(side):.3f} s" for side in taken.values())
                row(f"{name}, {what}", *seconds, ratio(taken[SIDES[1]], taken["ours"]))
            peaks = (f"{alone(memory, side, name, folder, args.threads):.0f} MB" for side in SIDES)
            row(f"{name}, peak memory", *peaks)


if __name__ == "__main__":
    main()
