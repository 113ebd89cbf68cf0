"""Which share of the pixel loss's gradient ``CLIPIQALoss`` may have; no test.

    python tests/measure/share.py PHOTOS CC_NOISE PARAMETERS --out runs/share

Two small networks learn to remove made camera noise, blur or JPEG from squares of photos, by L1 or by MSE: twelve
starts. Each start goes on for 200 steps on the same squares, without and with ``CLIPIQALoss``, and restores 16 held-out
squares, and for noise those of a real camera. Every training is kept below ``--out``, so a second call goes on.
Printed are changes of scores against the training without the loss.

PARAMETERS has niqe_modelparameters.mat and brisque_svm_weights.pth. Weights are mini's, or those of ``--weights``.
"""

import csv
import json
import sys
from functools import cache, partial
from itertools import product
from pathlib import Path

import pandas
import pyiqa
import torch
from timing import arguments, photos, pixels

# isort: split
from distortions import jpeg
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, gaussian_blur, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQALoss

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "docs/examples/mini"), str(ROOT / "docs/examples")]
from mini.camera import demosaic, mosaic  # noqa: E402
from restoration import Denoiser  # noqa: E402

SIDE, POOL, BATCH, HELD_OUT, JUDGED = 48, 768, 4, 16, 192
START, STEPS = 3000, 200
TASKS, LOSSES, NETS = ("noise", "blur", "jpeg"), {"l1": F.l1_loss, "mse": F.mse_loss}, ("unshuffle", "plain")
STARTS = list(product(TASKS, LOSSES, NETS))
FIDELITY = ["psnr", "ssim", "fsim", "vif", "gmsd"]
LOWER = {"gmsd", "niqe", "brisque", "piqe"}
PROMPTS = ["quality", "sharpness", "noisiness"]


class Plain(nn.Module):
    """Three convolutions at full resolution that predict the degradation."""

    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, x):
        return x - self.layers(x - 0.5)


def degraded(clean, task, dice):
    """Return squares (N, 3, H, W) with made camera noise, blur or JPEG of a drawn strength each."""
    strengths = torch.rand(len(clean), generator=dice).tolist()
    return torch.stack([_degrade(image, task, part, dice) for image, part in zip(clean, strengths, strict=True)])


def _degrade(clean, task, part, dice):
    if task == "jpeg":
        return pil_to_tensor(jpeg(to_pil_image(clean), 10 + round(30 * part))) / 255
    if task == "blur":
        blurred = gaussian_blur(clean, [9, 9], [0.8 + 1.2 * part] * 2)
        return _rounded(blurred + 0.005 * torch.randn(clean.shape, generator=dice))
    gains = torch.tensor([1.8, 1.0, 1.6]).view(3, 1, 1)
    raw = mosaic(clean**2.2 / gains)
    variance = (0.002 + 0.012 * part) ** 2 * (0.2 + 0.8 * raw / 0.18)  # of read and shot noise in linear light
    raw = (raw + variance.sqrt() * torch.randn(raw.shape, generator=dice)).clamp(0, 1)
    return _rounded((demosaic(raw, True) * gains).clamp(0, 1) ** (1 / 2.2))


def _rounded(x):
    return (x * 255).round().clamp(0, 255) / 255


def squares(args, task):
    """Return degraded and clean squares to train on and to judge by, in uint8."""
    file = args.out / f"squares-{task}.pt"
    if not file.exists():
        with (ROOT / "configs/train/mini_photos.csv").open() as lines:
            unseen = {line["photo"] for line in csv.DictReader(lines) if line["use"] == "held out"}
        dice = torch.Generator().manual_seed(0)
        train, held_out = [], []
        for path in photos(args.photos):
            photo = pixels(path)
            (held_out if Path(path).stem in unseen else train).append(photo)
        clean = []
        for number in range(POOL):
            photo = train[number % len(train)]
            top, left = (int(torch.randint(size - SIDE + 1, (), generator=dice)) for size in photo.shape[1:])
            clean.append(photo[:, top : top + SIDE, left : left + SIDE])
        clean = torch.stack(clean)
        judged = [center_crop(photo, JUDGED) for photo in held_out]
        judged += [photo[:, :JUDGED, :JUDGED] for photo in held_out]
        judged = torch.stack(judged[:HELD_OUT])
        pairs = [degraded(clean, task, dice), clean, degraded(judged, task, dice), judged]
        torch.save([(pair * 255).round().byte() for pair in pairs], file)
    return torch.load(file)


@cache
def real_noise(folder):
    """Return noisy and clean squares of a real camera, (N, 3, H, W)."""
    return [torch.stack([center_crop(pixels(path), JUDGED) for path in photos(folder / name)[::3]])
            for name in ("noisy", "clean")]  # fmt: skip


def train(net, data, beside, steps, rate, criterion=None):
    given, clean = data
    dice, pixel_loss = torch.Generator().manual_seed(0), LOSSES[beside]
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate / 10)
    for _ in range(steps):
        chosen = torch.randint(len(clean), (BATCH,), generator=dice)
        x, y = given[chosen].float() / 255, clean[chosen].float() / 255
        if torch.rand((), generator=dice) < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        restored = net(x)
        loss = pixel_loss(restored, y)
        if criterion is not None:
            loss = loss + criterion(restored, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def restore(net, given):
    return torch.cat([_rounded(net(x[None])) for x in given])


def start_of(args, task, beside, kind):
    """Return a network trained with the pixel loss alone."""
    torch.manual_seed(0)
    net = Denoiser(24, 2) if kind == "unshuffle" else Plain()
    file = args.out / f"start-{task}-{beside}-{kind}.pt"
    if not file.exists():
        train(net, squares(args, task)[:2], beside, START, 2e-3)
        torch.save(net.state_dict(), file)
    net.load_state_dict(torch.load(file))
    return net


class Judge:
    """Means of scores over squares, of those restored and for fidelity against the clean ones."""

    def __init__(self, args, options):
        files = {"niqe": "niqe_modelparameters.mat", "brisque": "brisque_svm_weights.pth"}
        self.metrics = {}
        for name in (*FIDELITY, "niqe", "brisque", "piqe"):
            more = {"pretrained_model_path": str(args.parameters / files[name])} if name in files else {}
            self.metrics[name] = pyiqa.create_metric(name, device="cpu", **more)
        self.clip = CLIPIQALoss(**options).metric

    @torch.no_grad()
    def __call__(self, restored, clean):
        rows = []
        for x, y in zip(restored, clean, strict=True):
            x, y = x[None], y[None]
            row = {name: metric(x, y) if name in FIDELITY else metric(x) for name, metric in self.metrics.items()}
            row |= dict(zip(PROMPTS, self.clip(x, PROMPTS, None)[0], strict=True))
            row["local"] = self.clip.score_map(x).mean()
            rows.append({name: float(value) for name, value in row.items()})
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def scores(args, judge, options, start, share):
    """Return the judges' means after a training from a start, which is done once; 0 is the pixel loss alone."""
    file = args.out / f"{'-'.join(start)}-{share:g}.json"
    if not file.exists():
        task, beside, _ = start
        net, (given, clean, lossy, judged) = start_of(args, *start), squares(args, task)
        criterion = CLIPIQALoss(share=share, beside=beside, **options) if share else None
        train(net, (given, clean), beside, STEPS, 5e-4, criterion)
        found = {"made": judge()(restore(net, lossy.float() / 255), judged.float() / 255)}
        if task == "noise":
            noisy, true = real_noise(args.cc_noise)
            found["real"] = judge()(restore(net, noisy), true)
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def main():
    args = arguments("photos", "cc_noise", "parameters", out="runs/share", weights="", shares=[0.3, 3.0])
    args.out = Path(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    options = {"backbone": "mini", "prompts": "quality"} | ({"clip_weights": args.weights} if args.weights else {})
    judge, rows = cache(partial(Judge, args, options)), []
    for share, start in product(args.shares, STARTS):
        with_loss, without = (scores(args, judge, options, start, each) for each in (share, 0))
        for judged, was in without.items():  # of gmsd, niqe, … with their sign turned
            apart = {name: (with_loss[judged][name] - value) * (-1) ** (name in LOWER) for name, value in was.items()}
            rows.append({"share": share, "task": start[0], "judged": judged, **apart})
    frame = pandas.DataFrame(rows)
    print(frame.groupby(["share", "task", "judged"]).mean().round(4).to_string())
    print("worst", frame.groupby("share")[FIDELITY].min().round(4).to_string(), sep="\n")


if __name__ == "__main__":
    main()
