"""Whether a small artefact lowers the local reward more than the global one; run as a script, as no test.

    python tests/measure/local_reward.py PHOTO_FOLDER ... [--count 100] [--quantile 0.02]

Each photo is cut to a square of 512 px in its middle. An artefact of 64 px is pasted at a random place: the pixels
there in random order, or a piece of another photo enlarged from 8 px, or noise in 8×8 blocks. Printed is in how many
photos the local reward falls by more, in units of the rewards' spread over the photos.
"""

from itertools import islice

import torch
from timing import arguments, photos, pixels
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop

from clipiqa_pyiqa.reward import CLIPIQAReward

SIDE, PATCH = 512, 64


def scrambled(piece, other, dice):
    return piece.flatten(1)[:, torch.randperm(PATCH**2, generator=dice)].view_as(piece)


def enlarged(piece, other, dice):
    return F.interpolate(F.avg_pool2d(other[None], 8), size=PATCH, mode="bicubic")[0].clamp(0, 1)


def blocks(piece, other, dice):
    return torch.rand(3, 8, 8, generator=dice).repeat_interleave(8, 1).repeat_interleave(8, 2)


def main():
    args = arguments("folders*", count=100, quantile=0.02)
    rewards = CLIPIQAReward(backbone="mini", local=True, quantile=args.quantile), CLIPIQAReward(backbone="mini")
    large = (x for x in map(pixels, photos(*args.folders)) if min(x.shape[1:]) >= SIDE)
    squares = [center_crop(x, SIDE) for x in islice(large, args.count)]
    before = [reward(squares) for reward in rewards]
    print(f"{len(squares)} photos")
    dice = torch.Generator().manual_seed(0)
    for make in (scrambled, enlarged, blocks):
        damaged = []
        for number, photo in enumerate(squares):
            top, left = torch.randint(SIDE - PATCH, (2,), generator=dice).tolist()
            places = ..., slice(top, top + PATCH), slice(left, left + PATCH)
            damaged.append(photo.clone())
            damaged[-1][places] = make(photo[places], squares[number - 1][places], dice)
        local, whole = ((x - reward(damaged)) / x.std() for reward, x in zip(rewards, before, strict=True))
        print(f"{make.__name__}: local falls more in {(local > whole).sum().item()}")


if __name__ == "__main__":
    main()
