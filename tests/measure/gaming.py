"""How often the alarm for gaming is right; run as a script, as no test.

    python tests/measure/gaming.py PHOTO_FOLDER ... [--ascents 20] [--grids 20] [--trainings 60]

Ascents: each of 20 photos is degraded (noise, blur, enlargement or JPEG), cut into 16 squares, and its pixels follow
the gradient of the loss. The alarm looks at every other step, once with the references and once with squares of
other photos as the clean ones. Printed is the change of PSNR against the clean photo at the first alarm.

Grids: the same, but one tile of 2 to 16 px is repeated in all squares, and grows stronger with every look. It follows
the gradient of the loss.

Trainings: 60 small networks learn to remove noise or blur with the L1 loss alone; both alarms look five times at 16
held-out squares. Any sentence is a false alarm.
"""

from collections import Counter
from itertools import islice

import torch
from timing import arguments, photos, pixels

# isort: split
from distortions import jpeg
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, gaussian_blur, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQALoss, GamingAlarm

SIDE, TILES = 64, 16
WAYS = ("references", "other photos")


def squares(photo):
    """Return 16 squares of 64 px, from the middle of a photo."""
    middle = center_crop(photo, 4 * SIDE)
    return middle.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()


def degraded(clean, kind, dice):
    if kind == 0:
        return (clean + 0.08 * torch.randn(clean.shape, generator=dice)).clamp(0, 1)
    if kind == 1:
        return gaussian_blur(clean, [9, 9], [1.5, 1.5])
    if kind == 2:
        return F.interpolate(F.avg_pool2d(clean, 3), size=SIDE, mode="bicubic").clamp(0, 1)
    return torch.stack([pil_to_tensor(jpeg(to_pil_image(image), 15)) / 255 for image in clean])


def psnr(x, y):
    """Return the mean over images; above 40 dB no difference shows, and none counts."""
    return (-10 * (x - y).square().flatten(1).mean(1).log10()).clamp(max=40).mean().item()


def looks(criterion, clean, others):
    """Return a function that looks at outputs, and returns each alarm's first sentence, with the note given then."""
    alarms = dict(zip(WAYS, (GamingAlarm(criterion), GamingAlarm(criterion, others)), strict=True))
    said = {}

    def look(x, note=None):
        for name, alarm in alarms.items():
            if sentence := alarm(x, clean if name == WAYS[0] else None).sentence:
                said.setdefault(name, (note, sentence))
        return said

    return look


def slope(criterion, x):
    """Return the gradient of each image's loss."""
    return torch.autograd.grad(criterion(x.requires_grad_()) * TILES, x)[0]


def ascent(x, criterion):
    """Yield images whose pixels follow the gradient, after every other step."""
    for step in range(200):
        x = (x.detach() - 0.04 * F.normalize(slope(criterion, x.detach()).flatten(1)).view_as(x)).clamp(0, 1)
        if step % 2:
            yield x.detach()


def grid(x, criterion, period):
    """Yield images with a repeated tile of growing strength, which follows the gradient in three steps for each."""

    def unit(tile):
        return tile / tile.square().mean().sqrt()

    tile = torch.zeros(3, period, period)
    for strength in 0.002 * torch.arange(1, 31):
        for _ in range(4):
            drawn = (x + strength * tile.repeat(1, SIDE // period, SIDE // period)).clamp(0, 1)
            tiles = slope(criterion, drawn).unfold(2, period, period).unfold(3, period, period)
            tile = unit(tile - 0.5 * unit(tiles.mean((0, 2, 3))))
        yield drawn.detach()


def watched(clean, others, criterion, given, outputs):
    """Return the change of PSNR at the first alarm of each way to look."""
    look = looks(criterion, clean, others)
    start = psnr(given, clean)
    look(given)
    for x in outputs:
        change = psnr(x, clean) - start
        found = look(x, change)
        if change < -1 or len(found) == len(WAYS):
            break
    return {name: note for name, (note, _) in found.items()}


def train_honestly(train, held_out, others, kind, seed):
    """Return the first false alarm of each way to look, and its step."""
    dice = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    given = degraded(held_out, kind, dice)
    look = looks(CLIPIQALoss(backbone="mini"), held_out, others)
    for step in range(81):
        if step % 20 == 0:
            with torch.no_grad():
                said = look((given + net(given)).clamp(0, 1), step)
        clean = train[torch.randint(len(train), (1,), generator=dice)][:8]
        noisy = degraded(clean, kind, dice)
        optimiser.zero_grad()
        F.l1_loss(noisy + net(noisy), clean).backward()
        optimiser.step()
    return said


def main():
    args = arguments("folders*", ascents=20, grids=20, trainings=60)
    large = (photo for photo in map(pixels, photos(*args.folders)) if min(photo.shape[1:]) >= 4 * SIDE)
    tiles = [squares(photo) for photo in islice(large, 60)]
    criterion = CLIPIQALoss(backbone="mini")
    others = torch.stack([photo[number % TILES] for number, photo in enumerate(tiles[-TILES:])])
    for title, count in (("ascents", args.ascents), ("grids", args.grids)):
        found = []
        for n in range(count):
            given = degraded(tiles[n], n % 4, torch.Generator().manual_seed(n))
            outputs = ascent(given, criterion) if title == "ascents" else grid(given, criterion, 2 ** (n // 4 % 4 + 1))
            found.append(watched(tiles[n], others, criterion, given, outputs))
        for name in WAYS:
            early = [change[name] for change in found if change.get(name, -1) > -1]
            print(f"{title}, {name}: {len(early)} of {count} called before a fall of 1 dB")
            print("    PSNR at the alarm:", *(f"{change:+.2f}" for change in early))
    alarms = Counter()
    for n in range(args.trainings):
        held_out = torch.stack([photo[n % TILES] for photo in tiles[:TILES]])
        said = train_honestly(tiles[TILES:-TILES], held_out, others, n % 2, n)
        alarms.update(said.keys())
        print(f"training {n}: {said}")
    print(f"false alarms in {args.trainings} trainings: {dict(alarms)}")


if __name__ == "__main__":
    main()
