"""How often the alarm for gaming is right; run as a script, as no test.

    python tests/measure/gaming.py PHOTO_FOLDER ... [--ascents 20] [--grids 20] [--trainings 60] [--scratch 6]

Ascents: each of 20 photos is degraded (noise, blur, enlargement or JPEG), cut into 16 squares, and its pixels follow
the gradient of the loss. The alarm looks at every other step, once with the references and once with squares of
other photos as the clean ones. Printed is the change of PSNR against the clean photo at the first alarm.

Grids: the same, but one tile of 2 to 16 px is repeated in all squares, and grows stronger with every look. It follows
the gradient of the loss.

Trainings: 60 small networks learn to remove noise or blur with the L1 loss alone; both alarms look five times at 16
held-out squares (``--steps 160 --every 10``: 17 times). Any sentence is a false alarm.

From scratch: such networks learn with the loss from the first step, at several shares, and once without it.
"""

from collections import Counter
from functools import partial
from itertools import islice

import torch
from timing import arguments, photos, pixels

# isort: split
from photos import jpeg
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, gaussian_blur, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQALoss, GamingAlarm

SIDE, TILES = 64, 16
WAYS = ("references", "other photos")
SHARES = (1.0, 10.0, 30.0, 100.0)


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


def trained(train, held_out, others, kind, seed, share=0.0, steps=80, every=20):
    """Train a small network from scratch; return the first alarm of each way to look, its step, and the last PSNR."""
    dice = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    given = degraded(held_out, kind, dice)
    look = looks(CLIPIQALoss(backbone="mini"), held_out, others)
    criterion = CLIPIQALoss(backbone="mini", share=share, beside="l1") if share else None
    for step in range(steps + 1):
        if step % every == 0:
            with torch.no_grad():
                outputs = (given + net(given)).clamp(0, 1)
            said = look(outputs, step)
        clean = train[torch.randint(len(train), (1,), generator=dice)][:8]
        noisy = degraded(clean, kind, dice)
        optimiser.zero_grad()
        restored = noisy + net(noisy)
        loss = F.l1_loss(restored, clean)
        if criterion is not None:
            loss = loss + criterion(restored, clean)
        loss.backward()
        optimiser.step()
    return said, psnr(outputs, held_out)


def train_from_scratch(tiles, others, count):
    """Print what the alarm says if the loss is used from the first step, and what that costs."""
    called = Counter()
    costly = Counter()
    for number in range(count):
        held_out = torch.stack([photo[number % TILES] for photo in tiles[:TILES]])
        train = partial(trained, tiles[TILES:-TILES], held_out, others, number % 2, number, steps=160, every=10)
        said, without = train()
        print(f"from scratch {number}, without the loss: PSNR {without:.2f}, {said}")
        for share in SHARES:
            said, last = train(share=share)
            print(f"from scratch {number}, share {share:g}: PSNR {last:.2f}, {said}")
            costly[share] += int(last < without - 0.5)
            called.update((share, name) for name in said)
    for share in SHARES:
        counts = [f"{called[share, name]} with {name}" for name in WAYS]
        print(f"share {share:g}: {costly[share]} of {count} cost more than 0.5 dB; called: {', '.join(counts)}")


def main():
    args = arguments("folders*", ascents=20, grids=20, trainings=60, scratch=6, steps=80, every=20)
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
        said, _ = trained(tiles[TILES:-TILES], held_out, others, n % 2, n, steps=args.steps, every=args.every)
        alarms.update(said.keys())
        print(f"training {n}: {said}")
    print(f"false alarms in {args.trainings} trainings: {dict(alarms)}")
    train_from_scratch(tiles, others, args.scratch)


if __name__ == "__main__":
    main()
