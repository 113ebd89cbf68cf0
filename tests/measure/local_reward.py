"""Whether a small artefact lowers the local reward more than the global one; run as a script, as no test.

    python tests/measure/local_reward.py PHOTO_FOLDER ... [--count 100] [--quantile 0.02]

Each photo is cut to a square of 512 px in its middle. An artefact of 64 px is pasted at a random place: the pixels
there in random order, or a piece of another photo enlarged from 8 px, or noise in 8×8 blocks. Printed is in how many
photos the local reward falls by more, as a share of the reward's size and of its spread over the photos.
"""

import argparse

import torch
from torch.nn import functional as F

from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.reward import CLIPIQAReward
from clipiqa_pyiqa.sources.inputs import find_inputs

SIDE, PATCH = 512, 64


def scrambled(piece, other, dice):
    return piece.flatten(1)[:, torch.randperm(PATCH**2, generator=dice)].view_as(piece)


def enlarged(piece, other, dice):
    return F.interpolate(F.avg_pool2d(other[None], 8), size=PATCH, mode="bicubic")[0].clamp(0, 1)


def blocks(piece, other, dice):
    return torch.rand(3, 8, 8, generator=dice).repeat_interleave(8, 1).repeat_interleave(8, 2)


ARTEFACTS = {
    "scrambled": scrambled,
    "enlarged": enlarged,
    "blocks": blocks,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--quantile", type=float, default=0.02)
    parser.add_argument("--backbone", default="mini")
    args = parser.parse_args()
    photos = []
    for path in find_inputs(args.folders).paths:
        pixels = read_image(path).pixels
        top, left = ((side - SIDE) // 2 for side in pixels.shape[1:])
        if min(top, left) >= 0 and len(photos) < args.count:
            photos.append(pixels[:, top : top + SIDE, left : left + SIDE].float() / 255)
    whole = CLIPIQAReward(backbone=args.backbone)
    local = CLIPIQAReward(backbone=args.backbone, local=True, quantile=args.quantile)
    before = {"global": whole(photos), "local": local(photos)}
    print(f"{len(photos)} photos; spread { ({name: round(x.std().item(), 3) for name, x in before.items()}) }")
    dice = torch.Generator().manual_seed(0)
    for name, make in ARTEFACTS.items():
        damaged = []
        for number, photo in enumerate(photos):
            top, left = torch.randint(SIDE - PATCH, (2,), generator=dice).tolist()
            places = ..., slice(top, top + PATCH), slice(left, left + PATCH)
            damaged.append(photo.clone())
            damaged[-1][places] = make(photo[places], photos[number - 1][places], dice)
        falls = {each: before[each] - reward(damaged) for each, reward in (("global", whole), ("local", local))}
        for unit in ("size", "spread"):
            shares = [
                falls[each] / (before[each].abs() if unit == "size" else before[each].std())
                for each in ("local", "global")
            ]
            print(f"{name}, as a share of the {unit}: local falls more in {(shares[0] > shares[1]).sum().item()}")
        print(f"    median falls: { ({each: round(fall.median().item(), 3) for each, fall in falls.items()}) }")


if __name__ == "__main__":
    main()
