"""How often the alarm for gaming is right; run as a script, as no test.

    python tests/measure/gaming.py PHOTO_FOLDER ... [--ascents 20] [--grids 20] [--trainings 60]

Ascents: each of 20 photos is degraded (noise, blur, enlargement or JPEG), cut into 16 squares, and its pixels follow
the gradient of the loss. The alarm looks at every other step, once with the references and once with squares of
other photos as the clean ones. Printed is the change of PSNR against the clean photo at the first alarm.

Grids: the same, but the gradient's mean over all squares and periods (2 to 16 px) is added: one pattern that repeats.

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
    return (-10 * (x - y).square().flatten(1).mean(1).log10()).mean().item()


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


def repeated(gradient, period):
    """Return the mean over all squares and periods, in each of them."""
    means = gradient.unfold(2, period, period).unfold(3, period, period).mean((0, 2, 3))
    return means.repeat(TILES, 1, SIDE // period, SIDE // period)


def ascend(clean, others, kind, criterion, seed, period=None):
    """Return the change of PSNR at the first alarm of each way to look, and the loss before and after all steps."""
    x = degraded(clean, kind, torch.Generator().manual_seed(seed)).requires_grad_()
    look, start, before = looks(criterion, clean, others), psnr(x.detach(), clean), criterion(x).item()
    look(x.detach())
    for _ in range(100):
        for _ in range(2):
            (gradient,) = torch.autograd.grad(criterion(x) * TILES, x)
            direction = gradient if period is None else repeated(gradient, period)
            with torch.no_grad():
                x -= 0.04 * F.normalize(direction.flatten(1)).view_as(x)
                x.clamp_(0, 1)
        change = psnr(x.detach(), clean) - start
        found = look(x.detach(), change)
        if change < -1 or len(found) == len(WAYS):
            break
    return {name: change for name, (change, _) in found.items()}, f"{before:.2f} to {criterion(x).item():.2f}"


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
    tiles, criterion = [squares(photo) for photo in islice(large, 60)], CLIPIQALoss(backbone="mini")
    others = torch.stack([photo[number % TILES] for number, photo in enumerate(tiles[-TILES:])])
    for title, count, periods in (("ascents", args.ascents, [None]), ("grids", args.grids, [2, 4, 8, 16])):
        found = [ascend(tiles[n], others, n % 4, criterion, n, periods[n // 4 % len(periods)]) for n in range(count)]
        for name in WAYS:
            changes = {n: changes[name] for n, (changes, _) in enumerate(found) if name in changes}
            early = [n for n, change in changes.items() if change > -1]
            print(f"{title}, {name}: {len(early)} of {count} called before a fall of 1 dB", flush=True)
            print("    PSNR at the alarm:", *(f"{change:+.2f}" for change in changes.values()), flush=True)
            print("    missed, and their loss:", {n: found[n][1] for n in range(count) if n not in early}, flush=True)
    alarms = Counter()
    for n in range(args.trainings):
        held_out = torch.stack([photo[n % TILES] for photo in tiles[:TILES]])
        said = train_honestly(tiles[TILES:-TILES], held_out, others, n % 2, n)
        alarms.update(said.keys())
        print(f"training {n}: {said}", flush=True)
    print(f"false alarms in {args.trainings} trainings: {dict(alarms)}")


if __name__ == "__main__":
    main()
