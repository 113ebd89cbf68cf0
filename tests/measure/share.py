"""Which share of the pixel loss's gradient ``CLIPIQALoss`` may have, and what the alarm says; no test.

    python tests/measure/share.py PHOTOS CC_NOISE PARAMETERS --out runs/share --stages shares table

Two small networks learn to remove made camera noise, blur or JPEG from squares of photos, by L1 or by MSE: twelve
starts. Each start goes on for 200 steps on the same squares, without and with ``CLIPIQALoss``, and restores 16 held-out
squares, and for noise those of a real camera. Every training is kept below ``--out``, so a second call goes on.

Stages: ``shares`` tries ``--shares``; ``forms`` tries nll and local at ``--shares`` (``--side 96``: 48 px are one
place); ``runs`` repeats trainings with other seeds, without the loss, and at ``--recommended`` and ``--gamed``;
``alarm`` lets ``GamingAlarm`` look at them; ``rewards`` does so with ``CLIPIQAReward``; ``table`` prints. The learning
rate falls to the part ``--end`` (0 for ``forms``, ``runs``).
PARAMETERS has niqe_modelparameters.mat and brisque_svm_weights.pth. Weights are mini's.
"""

import csv
import json
import sys
from collections import Counter
from functools import cache, partial
from itertools import product
from pathlib import Path

import pandas
import pyiqa
import torch
from timing import arguments, photos, pixels

# isort: split
from photos import jpeg
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, gaussian_blur, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQALoss, GamingAlarm
from clipiqa_pyiqa.reward import CLIPIQAReward

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "docs/examples/mini"), str(ROOT / "docs/examples")]
from mini.camera import demosaic, mosaic  # noqa: E402
from restoration import Denoiser  # noqa: E402

# the first two in pixels
POOL = 768 * 48**2
BATCH = 4 * 48**2
HELD_OUT = 16
JUDGED = 192
START, STEPS, LOOK, WATCHED = 3000, 200, 100, 64
TASKS = ("noise", "blur", "jpeg")
LOSSES = {"l1": F.l1_loss, "mse": F.mse_loss}
NETS = ("unshuffle", "plain")
STARTS = list(product(TASKS, LOSSES, NETS))
FIDELITY = {"psnr": 0.05, "ssim": 0.001, "fsim": 0.001, "vif": 0.001, "gmsd": 0.001}  # what may be lost
LOWER = {"gmsd", "niqe", "brisque", "piqe"}
PROMPTS = ["quality", "sharpness", "noisiness"]
OPTIONS = {"backbone": "mini", "prompts": "quality"}
FORMS = {"linear": {}, "nll": {"form": "nll"}, "local": {"local": True}}


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
        train = []
        held_out = []
        for path in photos(args.photos):
            photo = pixels(path)
            (held_out if Path(path).stem in unseen else train).append(photo)
        clean = []
        for number in range(POOL // args.side**2):
            photo = train[number % len(train)]
            top, left = (int(torch.randint(size - args.side + 1, (), generator=dice)) for size in photo.shape[1:])
            clean.append(photo[:, top : top + args.side, left : left + args.side])
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


def train(net, data, beside, seed, steps, rate, criterion=None, end=0.1):
    """Yield after every ``LOOK`` steps."""
    given, clean = data
    dice = torch.Generator().manual_seed(seed)
    pixel_loss = LOSSES[beside]
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate * end)
    for step in range(1, steps + 1):
        chosen = torch.randint(len(clean), (BATCH // clean[0, 0].numel(),), generator=dice)
        x = given[chosen].float() / 255
        y = clean[chosen].float() / 255
        if torch.rand((), generator=dice) < 0.5:
            x = x.flip(-1)
            y = y.flip(-1)
        restored = net(x)
        loss = pixel_loss(restored, y)
        if criterion is not None:
            loss = loss + criterion(restored, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % LOOK == 0:
            yield step


@torch.no_grad()
def restore(net, given):
    return torch.cat([_rounded(net(x[None])) for x in given])


def start_of(args, task, beside, kind):
    """Return a network trained with the pixel loss alone."""
    torch.manual_seed(0)
    net = Denoiser(24, 2) if kind == "unshuffle" else Plain()
    file = args.out / f"start-{task}-{beside}-{kind}.pt"
    if not file.exists():
        for _ in train(net, squares(args, task)[:2], beside, 0, START, 2e-3):
            pass
        torch.save(net.state_dict(), file)
    net.load_state_dict(torch.load(file))
    return net


class Judge:
    """Means of scores over squares, of those restored and for fidelity against the clean ones."""

    def __init__(self, args):
        files = {"niqe": "niqe_modelparameters.mat", "brisque": "brisque_svm_weights.pth"}
        self.metrics = {}
        for name in (*FIDELITY, "niqe", "brisque", "piqe"):
            more = {"pretrained_model_path": str(args.parameters / files[name])} if name in files else {}
            self.metrics[name] = pyiqa.create_metric(name, device="cpu", **more)
        self.clip = CLIPIQALoss(**OPTIONS).metric

    @torch.no_grad()
    def __call__(self, restored, clean):
        rows = []
        for x, y in zip(restored, clean, strict=True):
            x = x[None]
            y = y[None]
            row = {name: metric(x, y) if name in FIDELITY else metric(x) for name, metric in self.metrics.items()}
            row |= dict(zip(PROMPTS, self.clip(x, PROMPTS, None)[0], strict=True))
            row["local"] = self.clip.score_map(x).mean()
            rows.append({name: float(value) for name, value in row.items()})
        return pandas.DataFrame(rows).mean().to_dict()


def name_of(start, seed, form="", share=0.0):
    end = [form, f"{share:g}"] if share else ["without"]
    return "-".join([*start, f"seed{seed}", *end])


def run(args, judge, start, seed=0, form="linear", share=0.0):
    """Train on from a start, unless this was done; keep outputs for the alarm, and judge the end of seed 0."""
    name = name_of(start, seed, form, share)
    file = args.out / f"{name}.json"
    if file.exists():
        return
    task, beside, _ = start
    net = start_of(args, *start)
    given, clean, lossy, judged = squares(args, task)
    criterion = CLIPIQALoss(share=share, beside=beside, **OPTIONS, **FORMS[form]) if share else None
    lossy = lossy.float() / 255
    judged = judged.float() / 255
    looks = []
    for _ in train(net, (given, clean), beside, seed, STEPS, 5e-4, criterion, args.end):
        looks.append((restore(net, watched(lossy)) * 255).round().byte())
    torch.save(torch.stack(looks), args.out / f"{name}.pt")
    found = {"weight": getattr(criterion, "last_weight", 0)}
    if seed == 0:
        found["made"] = judge()(restore(net, lossy), judged)
        if task == "noise":
            noisy, true = real_noise(args.cc_noise)
            found["real"] = judge()(restore(net, noisy), true)
    file.write_text(json.dumps(found))
    print(name, f"weight {found['weight']:.3g}")


def changes(args, judged, start, form, share):
    """Return how scores differ from those of the training without the loss; gmsd, niqe, … with their sign turned."""
    named = partial(name_of, start, 0)
    files = [args.out / f"{name}.json" for name in (named(form, share), named())]
    if not all(file.exists() for file in files):
        return None
    with_loss, without = (json.loads(file.read_text())[judged] for file in files)
    return {name: (with_loss[name] - value) * (-1 if name in LOWER else 1) for name, value in without.items()}


def table(args):
    """Print the worst change of each judge of fidelity, and the mean changes of all judges, by form and share."""
    done = {tuple(file.stem.split("-")[4:]) for file in args.out.glob("*-seed0-*-*.json")}
    for form, share in sorted(done, key=lambda key: (key[0], float(key[1]))):
        cells = {}
        for start in STARTS:
            for judged in ("made", "real")[: 2 if start[0] == "noise" else 1]:
                found = changes(args, judged, start, form, float(share))
                if found is not None:
                    cells[(*start, judged)] = found
        frame = pandas.DataFrame(cells).T
        worst = frame[[*FIDELITY]].min()
        harmless = (worst >= -pandas.Series(FIDELITY)).all()
        print(f"\n{form} {share}: {len(frame)} cells, {'harmless' if harmless else 'harms'}; the worst:")
        print(worst.round(4).to_dict())
        kinds = ["real" if judged == "real" else task for task, *_, judged in cells]
        print(frame.groupby(kinds).mean().round(4).to_string())


def seeded_runs(shares):
    """Return starts, seeds and shares of the 20 trainings that the alarm looks at; shares take turns within a task."""
    starts = [(start, seed) for seed in (0, 1) for start in STARTS][:20]
    return [(*start, shares[(n + n // 4) % len(shares)]) for n, start in enumerate(starts)]


def watched(images):
    """Return four squares from the middle of each, at which the alarm looks."""
    middles = center_crop(images, 2 * WATCHED).float().unfold(2, WATCHED, WATCHED).unfold(3, WATCHED, WATCHED)
    return middles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def looks_of(args, name):
    return torch.load(args.out / f"{name}.pt").float() / 255


def alarms(args):
    """Print what the alarm says beside the training without the loss."""
    pairs = {}  # kind -> start, the training in question, and that without the loss
    named = partial(name_of, form="linear")
    for kind, shares in {"recommended": [args.recommended], "gamed": args.gamed}.items():
        pairs[kind] = [(start, named(start, seed, share=share), name_of(start, seed))
                       for start, seed, share in seeded_runs(shares)]  # fmt: skip
    seeds = range(5)
    pairs["honest"] = [(start, name_of(start, seed + 1), name_of(start, seed)) for start in STARTS for seed in seeds]
    for kind, those in pairs.items():
        said = []
        for start, name, without in those:
            if not all((args.out / f"{each}.pt").exists() for each in (name, without)):
                continue
            _, _, lossy, judged = squares(args, start[0])
            clean = watched(judged) / 255
            first = restore(start_of(args, *start), watched(lossy) / 255)
            alarm = GamingAlarm(CLIPIQALoss(**OPTIONS))
            alarm(first, clean, without=first)
            looks = zip(looks_of(args, name), looks_of(args, without), strict=True)
            found = [alarm(outputs, clean, without=base).sentence for outputs, base in looks]
            said.append(next(filter(None, found), ""))
            print(f"{kind} {name}: {said[-1] or '-'}")
        print(f"{kind}: {sum(map(bool, said))} of {len(said)} called")


def rewards(args):
    """Print how much margin the gamed trainings gain and how much PSNR they lose, and how many rewards rise."""
    found = Counter()
    reward = CLIPIQAReward(**OPTIONS)
    for start, seed, share in seeded_runs(args.gamed):
        names = name_of(start, seed, "linear", share), name_of(start, seed)
        if not all((args.out / f"{name}.pt").exists() for name in names):
            continue
        clean = watched(squares(args, start[0])[3]) / 255
        one, other = [looks_of(args, name)[-1] for name in names]
        margin = (reward(one) - reward(other)).mean().item()
        both = (reward(one, clean) - reward(other, clean)).mean().item()
        print(f"{names[0]}: margin {margin:+.3f}, PSNR {both - margin:+.3f} dB")
        found.update(trainings=1, margin=margin > 0, both=both > 0)
    print("higher than without the loss:", dict(found))


def main():
    args = arguments("photos", "cc_noise", "parameters", out="runs/share", stages=["shares", "table"],
                     shares=[0.3, 1.0, 3.0], recommended=0.3, gamed=[3.0, 30.0, 100.0, 300.0],
                     side=48, end=0.1, part=0, parts=1)  # fmt: skip
    args.out = Path(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    judge = cache(partial(Judge, args))
    alone = [{"start": start} for start in STARTS]
    with_loss = [{**job, "share": share} for share in args.shares for job in alone]
    jobs = []
    if "shares" in args.stages:
        jobs += alone + with_loss
    if "forms" in args.stages:
        jobs += [{**job, "form": form} for form in ("nll", "local") for job in with_loss if job["start"] in STARTS[::8]]
    if "runs" in args.stages:
        runs = seeded_runs(args.gamed) + seeded_runs([args.recommended])
        jobs += [{"start": start, "seed": seed, "share": share} for start, seed, share in runs]
        jobs += [{"start": start, "seed": seed} for seed in range(6) for start in STARTS]
    for job in jobs[args.part :: args.parts]:
        run(args, judge, **job)
    if "alarm" in args.stages:
        alarms(args)
    if "rewards" in args.stages:
        rewards(args)
    if "table" in args.stages:
        table(args)


if __name__ == "__main__":
    main()
