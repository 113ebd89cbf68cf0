"""How often the alarm for gaming is right; run as a script, as no test.

    python tests/measure/gaming.py PHOTO_FOLDER ... [--ascents 20] [--trainings 60]

Ascents: each of 20 photos is degraded (noise, blur, enlargement or JPEG), cut into 16 squares, and its pixels follow
the gradient of the loss. The alarm looks at every other step, once with the references and once with squares of
other photos as the clean ones. Printed is the change of PSNR against the clean photo at the first alarm.

Trainings: 60 small networks learn to remove noise or blur with the L1 loss alone; both alarms look five times at 16
held-out squares. Any sentence is a false alarm.
"""

import argparse
import io
import time
from collections import Counter

import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQALoss, GamingAlarm
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.sources.inputs import find_inputs

SIDE, TILES = 64, 16
WAYS = ("references", "other photos")


def squares(photo):
    """Return 16 squares of 64 px, from the middle of a photo."""
    top, left = ((side - 4 * SIDE) // 2 for side in photo.shape[1:])
    middle = photo[:, top : top + 4 * SIDE, left : left + 4 * SIDE]
    return middle.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()


def degraded(clean, kind, dice):
    if kind == 0:
        return (clean + 0.08 * torch.randn(clean.shape, generator=dice)).clamp(0, 1)
    if kind == 1:
        return gaussian_blur(clean, [9, 9], [1.5, 1.5])
    if kind == 2:
        return F.interpolate(F.avg_pool2d(clean, 3), size=SIDE, mode="bicubic").clamp(0, 1)
    images = []
    for image in clean:
        file = io.BytesIO()
        to_pil_image(image).save(file, "JPEG", quality=15)
        images.append(pil_to_tensor(Image.open(file)) / 255)
    return torch.stack(images)


def psnr(x, y):
    return (-10 * (x - y).square().flatten(1).mean(1).log10()).mean().item()


def looks(criterion, clean, others):
    """Return a function from outputs to the sentences of both alarms."""
    alarms = dict(zip(WAYS, (GamingAlarm(criterion), GamingAlarm(criterion, others)), strict=True))
    return lambda x: {name: alarm(x, clean if name == WAYS[0] else None).sentence for name, alarm in alarms.items()}


def ascend(clean, others, kind, criterion, seed):
    """Return the change of PSNR at the first alarm of each way to look."""
    x = degraded(clean, kind, torch.Generator().manual_seed(seed)).requires_grad_()
    look, start, found = looks(criterion, clean, others), psnr(x.detach(), clean), dict[str, float]()
    look(x.detach())
    for step in range(1, 201):
        (gradient,) = torch.autograd.grad(criterion(x) * TILES, x)
        with torch.no_grad():
            x -= 0.04 * gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
            x.clamp_(0, 1)
        if step % 2:
            continue
        change = psnr(x.detach(), clean) - start
        for name, sentence in look(x.detach()).items():
            if sentence:
                found.setdefault(name, change)
        if change < -1 or len(found) == len(WAYS):
            break
    return found


def train_honestly(train, held_out, others, kind, seed):
    """Return the first false alarm of each way to look."""
    dice = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    criterion = CLIPIQALoss(backbone="mini")
    given = degraded(held_out, kind, dice)
    look = looks(criterion, held_out, others)
    said = {}
    for step in range(81):
        if step % 20 == 0:
            with torch.no_grad():
                out = (given + net(given)).clamp(0, 1)
            for name, sentence in look(out).items():
                if sentence:
                    said.setdefault(name, f"step {step}: {sentence}")
        clean = train[int(torch.randint(len(train), (1,), generator=dice))][:8]
        noisy = degraded(clean, kind, dice)
        loss = F.l1_loss(noisy + net(noisy), clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--ascents", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=60)
    args = parser.parse_args()
    photos = []
    for path in find_inputs(args.folders).paths:
        pixels = read_image(path).pixels
        if min(pixels.shape[1:]) >= 4 * SIDE and len(photos) < 60:
            photos.append(squares(pixels.float() / 255))
    begin, criterion = time.perf_counter(), CLIPIQALoss(backbone="mini")
    others = torch.stack([photo[number % TILES] for number, photo in enumerate(photos[-TILES:])])
    found = [ascend(photos[n], others, n % 4, criterion, n) for n in range(args.ascents)]
    for name in WAYS:
        shown = [each[name] for each in found if name in each]
        early, changes = sum(change > -1 for change in shown), " ".join(f"{change:+.2f}" for change in shown)
        print(f"ascents, {name}: {early} of {args.ascents} called before a fall of 1 dB", flush=True)
        print(f"    PSNR at the alarm: {changes}", flush=True)
    alarms = Counter()
    for n in range(args.trainings):
        held_out = torch.stack([photo[n % TILES] for photo in photos[:TILES]])
        for name, sentence in train_honestly(photos[TILES:-TILES], held_out, others, n % 2, n).items():
            alarms[name] += 1
            print(f"training {n}, {name}, {sentence}", flush=True)
    print(f"false alarms in {args.trainings} trainings: {dict(alarms)}; {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
