"""Denoise photos with a pixel loss alone, and with CLIP-IQA as a second loss: what changes, and what can go wrong.

    python docs/examples/restoration.py PHOTOS --out runs/restoration --backbone mini

One network is trained with the pixel loss. From there it goes on in several runs of equal length: with the pixel loss
alone, with CLIP-IQA added, once for each of ``--pulls``, and with its local form, for each of ``--local-pulls``. A
``GamingAlarm`` watches each run. Photos that no run trained on are then judged by PSNR, by metrics that no run
optimised (NIQE, BRISQUE, PIQE), by the CLIP-IQA that was, and by its maps. docs/examples/README.md has a result.
"""

from __future__ import annotations

import argparse
import copy
import csv
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyiqa
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from clipiqa_pyiqa import CLIPIQAError, CLIPIQALoss, GamingAlarm, quality_map, read_image
from clipiqa_pyiqa.workbench.maps.pictures import overlay
from clipiqa_pyiqa.workbench.report.contact_sheet import contact_sheet
from clipiqa_pyiqa.workbench.sources.finding import find_inputs

Scores = dict[str, float]
LOWER_IS_BETTER = {"niqe", "brisque", "piqe"}


class Denoiser(nn.Module):
    """Predicts the noise at half resolution and takes it away: ``(N, 3, H, W)`` to the same, H and W even."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.head = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, padding=1))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.tail = nn.Sequential(nn.Conv2d(width, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x - 0.5)
        for block in self.blocks:
            y = y + block(y)
        return x - self.tail(y)


@dataclass
class Photos:
    """Photos as uint8 ``(3, H, W)``: to train on, to watch while training, and to judge by at the end."""

    train: list[Tensor] = field(default_factory=list)
    watched: list[Tensor] = field(default_factory=list)
    judged: list[Tensor] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of those judged

    @classmethod
    def read(cls, folder: Path, held_out: Sequence[str], side: int, watch: int) -> Photos:
        """Held out: the files whose name starts with one of ``held_out``, or else every third; of them ``watch``
        are watched and the others judged, as the square of ``side`` in their middle."""
        paths = [Path(path) for path in find_inputs(folder)]
        chosen = [path for path in paths if path.name.startswith(tuple(held_out))] if held_out else paths[::3]
        if len(chosen) <= watch or len(chosen) == len(paths):
            raise CLIPIQAError(
                f"{folder} has {len(paths)} photos, of which {len(chosen)} are held out: more than {watch} must be, "
                "and some be left to train on."
            )
        photos = cls()
        for path in paths:
            pixels = read_image(path).pixels
            if path not in chosen:
                photos.train.append(pixels)
            elif len(photos.watched) < watch:
                photos.watched.append(middle(pixels, side))
            else:
                photos.judged.append(middle(pixels, side))
                photos.names.append(path.stem)
        return photos

    def check_squares(self, side: int) -> None:
        """Raise CLIPIQAError unless the watched photos give the alarm at least 6 squares of ``side`` pixels."""
        count = sum((photo.shape[-2] // side) * (photo.shape[-1] // side) for photo in self.watched)
        if count < 6:
            raise CLIPIQAError(
                f"{len(self.watched)} watched photos give {count} squares of {side} px; the alarm needs 6 or more: "
                "use a higher --watch or --side, or a smaller --patch."
            )


def middle(pixels: Tensor, side: int) -> Tensor:
    """The square of at most ``side`` pixels in the middle; its sides are even."""
    height, width = (min(side, size) // 2 * 2 for size in pixels.shape[-2:])
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    return pixels[:, top : top + height, left : left + width]


def add_noise(clean: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise of ``sigma`` grey levels on pixels in [0, 1], clamped as a camera's file is."""
    return (clean + sigma / 255 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)


def batches(photos: list[Tensor], size: int, patch: int, sigma: float, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Noisy and clean random squares, flipped at random, for ever: each ``(size, 3, patch, patch)`` in [0, 1]."""
    dice, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    large = [photo for photo in photos if min(photo.shape[-2:]) >= patch]
    if not large:
        raise CLIPIQAError(f"no photo to train on is {patch} px wide and high: use a smaller --patch.")
    while True:
        clean = []
        for photo in dice.choices(large, k=size):
            top, left = (dice.randint(0, side - patch) for side in photo.shape[-2:])
            square = photo[:, top : top + patch, left : left + patch].float() / 255
            clean.append(square.flip(-1) if dice.random() < 0.5 else square)
        stacked = torch.stack(clean)
        yield add_noise(stacked, sigma, generator), stacked


class Judge:
    """Mean scores of pictures as they would be saved: 8 bits a channel.

    Metrics whose parameters cannot be had (pyiqa downloads NIQE's and BRISQUE's) are left out, and that is said.
    """

    def __init__(self, names: Sequence[str], files: dict[str, str | None], criterion: CLIPIQALoss, device: str):
        self.device, self.score, self.metrics = device, criterion.metric, {}
        for name in names:
            options = {"pretrained_model_path": files[name]} if files.get(name) else {}
            try:
                self.metrics[name] = pyiqa.create_metric(name, device=device, **options)
            except Exception as error:
                print(f"{name} is left out: {(str(error) or repr(error)).splitlines()[0]}")

    @torch.no_grad()
    def one(self, picture: Tensor, clean: Tensor) -> Scores:
        """Scores of one picture, ``(3, H, W)`` uint8."""
        x = picture.to(self.device)[None].float() / 255
        error = (picture.float() - clean.float()).square().mean()
        scores = {"psnr": (10 * (255**2 / error).log10()).item(), "clipiqa": self.score(x).item()}
        places = self.score.score_map(x)
        scores |= {"local": places.mean().item(), "worst": self.map(picture).min().item()}
        return scores | {name: float(metric(x)) for name, metric in self.metrics.items()}

    @torch.no_grad()
    def map(self, picture: Tensor) -> Tensor:
        """Smoothed local scores of a picture ``(3, H, W)`` uint8, mean over the questions: ``(h, w)``."""
        return quality_map(self.score, picture.to(self.device)[None].float() / 255).mean((0, 1)).cpu()

    def mean(self, pictures: list[Tensor], clean: list[Tensor]) -> Scores:
        each = [self.one(picture, truth) for picture, truth in zip(pictures, clean, strict=True)]
        return {name: sum(scores[name] for scores in each) / len(each) for name in each[0]}


@torch.no_grad()
def restore(net: nn.Module, noisy: list[Tensor], device: str) -> list[Tensor]:
    """Pictures ``(3, H, W)`` uint8 from noisy ones, of any even size."""
    return [to_bytes(net(picture[None].to(device))[0].cpu()) for picture in noisy]


def to_bytes(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1).mul(255).round().byte()


@dataclass
class Run:
    """One way to go on training, and what came of it."""

    name: str
    net: nn.Module
    criterion: CLIPIQALoss | None = None
    weight: float = 0.0  # of it
    history: list[Scores] = field(default_factory=list)  # of the watched photos
    last_good: tuple[int, dict[str, Tensor]] | None = None  # step and weights before the first alarm


def tiles(pictures: list[Tensor], side: int, device: str) -> Tensor:
    """Squares of ``side`` pixels, ``(N, 3, side, side)`` in [0, 1], that fill pictures ``(3, H, W)`` uint8."""
    cut = [picture.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4) for picture in pictures]
    return torch.cat([squares.flatten(0, 1) for squares in cut]).to(device) / 255


def train(run: Run, data: Iterator[tuple[Tensor, Tensor]], steps: int, rate: float, device: str) -> Iterator[int]:
    """Train ``run.net``, yielding the number of steps done after each, so that the caller may look and stop."""
    optimiser = torch.optim.Adam(run.net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate / 10)
    for step in range(1, steps + 1):
        noisy, clean = (side.to(device) for side in next(data))
        restored = run.net(noisy)
        loss = F.l1_loss(restored, clean)
        if run.criterion is not None:
            loss = loss + run.weight * run.criterion(restored)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        yield step


def weight_for(pull: float, net: nn.Module, noisy: Tensor, clean: Tensor, criterion: CLIPIQALoss) -> float:
    """The weight at which CLIP-IQA's gradient on the pixels is ``pull`` times as large (L2) as the pixel loss's.

    The two losses have no unit in common, and how steep CLIP-IQA is depends on its weights and on the pictures.
    """
    restored = net(noisy).detach().requires_grad_()
    pixel, quality = (
        torch.autograd.grad(loss, restored)[0].norm() for loss in (F.l1_loss(restored, clean), criterion(restored))
    )
    return pull * (pixel / quality).item()


def table(rows: dict[str, Scores]) -> str:
    names = list(next(iter(rows.values())))
    arrows = {name: "v" if name in LOWER_IS_BETTER else "^" for name in names}  # which way is better
    width = max(map(len, rows))
    lines = [" " * width + "".join(f"{name + ' ' + arrows[name]:>12}" for name in names)]
    lines += [f"{row:<{width}}" + "".join(f"{scores[name]:12.3f}" for name in names) for row, scores in rows.items()]
    return "\n".join(lines)


def image(picture: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))


def save_sheet(path: Path, pictures: Sequence[Image.Image], captions: Sequence[str], side: int) -> None:
    shown = {path.stem: list(zip(pictures, captions, strict=True))}
    contact_sheet(shown, columns=len(pictures), side=side).savefig(path)


def arguments(command: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of clean photos")
    parser.add_argument("--out", type=Path, default=Path("runs/restoration"), help="results.csv, history.csv, pictures")
    parser.add_argument("--held-out", nargs="+", default=[], metavar="NAME", help="photos not to train on, by the "
                        "beginning of their names (default: every third)")  # fmt: skip
    parser.add_argument("--watch", type=int, default=2, help="how many of them to watch while training (2)")
    parser.add_argument("--sigma", type=float, default=25, help="noise in grey levels of 255 (25)")
    parser.add_argument("--steps", type=int, default=900, help="with the pixel loss, before the runs part (900)")
    parser.add_argument("--more", type=int, default=300, help="steps of each run (300)")
    parser.add_argument("--check", type=int, default=50, help="look at the watched photos every so many steps (50)")
    parser.add_argument("--pulls", type=float, nargs="+", default=[0.3, 3, 30], help="how hard CLIP-IQA pulls on the "
                        "pixels, against the pixel loss, when a run starts; the weights follow (0.3 3 30)")  # fmt: skip
    parser.add_argument("--local-pulls", type=float, nargs="*", default=[3], help="the same for the local loss (3)")
    parser.add_argument("--allow-db", type=float, default=0.5, help="PSNR that may be lost without an alarm (0.5)")
    parser.add_argument("--form", default="linear", help="of CLIPIQALoss (linear)")
    parser.add_argument("--prompts", nargs="+", default=["quality"], help="named pairs (quality)")
    parser.add_argument("--backbone", default="RN50", help="RN50 (default), mini (in the package), …")
    parser.add_argument("--clip-weights", help="a checkpoint file or an open_clip tag")
    parser.add_argument("--metrics", nargs="*", default=["niqe", "brisque", "piqe"], help="(niqe brisque piqe)")
    parser.add_argument("--niqe", metavar="FILE", help="NIQE's parameters (default: pyiqa downloads them)")
    parser.add_argument("--brisque", metavar="FILE", help="BRISQUE's support vectors, likewise")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=96, help="side of the squares for training and the alarm (96)")
    parser.add_argument("--side", type=int, default=384, help="of the held-out squares in pixels (384)")
    parser.add_argument("--width", type=int, default=48, help="of the network (48)")
    parser.add_argument("--blocks", type=int, default=3, help="of the network (3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    args = arguments(command)
    begin = time.perf_counter()
    torch.manual_seed(args.seed)
    photos = Photos.read(args.photos, args.held_out, args.side, args.watch)
    photos.check_squares(args.patch)
    print(f"{len(photos.train)} photos to train on, {args.watch} to watch, judged: {', '.join(photos.names)}")
    generator = torch.Generator().manual_seed(args.seed)
    noisy_watched, noisy = (
        [to_bytes(add_noise(photo / 255, args.sigma, generator)) / 255 for photo in part]
        for part in (photos.watched, photos.judged)
    )
    criterion = CLIPIQALoss(
        prompts=args.prompts, form=args.form, backbone=args.backbone, clip_weights=args.clip_weights
    )
    local = CLIPIQALoss(metric=criterion.metric, form=args.form, local=True)
    print(f"the loss: {criterion}")
    judge = Judge(args.metrics, {"niqe": args.niqe, "brisque": args.brisque}, criterion, args.device)

    start = Run("start", Denoiser(args.width, args.blocks).to(args.device))
    data = batches(photos.train, args.batch, args.patch, args.sigma, args.seed)
    for step in train(start, data, args.steps, 2e-3, args.device):
        if step % max(args.steps // 4, 1) == 0:
            print(f"  pixel loss, {step} steps, {time.perf_counter() - begin:.0f} s", flush=True)
    cut = partial(tiles, side=args.patch, device=args.device)
    before, watched = cut(restore(start.net, noisy_watched, args.device)), cut(photos.watched)

    runs = [Run("pixel loss alone", copy.deepcopy(start.net))]
    probe = [side.to(args.device) for side in next(data)]
    asked = [("CLIP-IQA", criterion, pull) for pull in args.pulls]
    asked += [("local CLIP-IQA", local, pull) for pull in args.local_pulls]
    for name, loss, pull in asked:
        weight = weight_for(pull, start.net, *probe, loss)
        runs.append(Run(f"{name}, pull {pull:g}", copy.deepcopy(start.net), loss, weight))
        print(f"  {runs[-1].name}: loss_weight {weight:.2g}")
    for run in runs:
        alarm = GamingAlarm(run.criterion or criterion, allow_db=args.allow_db)
        run.history.append({"step": 0, **alarm(before, watched).numbers})
        kept: tuple[int, dict[str, Tensor]] = (0, copy.deepcopy(run.net.state_dict()))
        data = batches(photos.train, args.batch, args.patch, args.sigma, args.seed + 1)  # all runs see the same
        for step in train(run, data, args.more, 5e-4, args.device):
            if step % args.check and step != args.more:
                continue
            look = alarm(cut(restore(run.net, noisy_watched, args.device)), watched)
            run.history.append({"step": step, **look.numbers})
            shown = ", ".join(f"{name} {value:.3f}" for name, value in look.numbers.items())
            print(f"  {run.name}, step {step}: {shown}. {look.sentence}", flush=True)
            if look.sentence and run.last_good is None:
                run.last_good = kept  # the run goes on, to show what happens after an alarm
            kept = step, copy.deepcopy(run.net.state_dict())

    pictures = {"noisy": [to_bytes(picture) for picture in noisy]}
    for run in runs:
        pictures[run.name] = restore(run.net, noisy, args.device)
        if run.last_good is not None and run.last_good[0] > 0:
            run.net.load_state_dict(run.last_good[1])
            pictures[f"{run.name}, stopped at {run.last_good[0]}"] = restore(run.net, noisy, args.device)
    pictures["clean"] = photos.judged
    rows = {name: judge.mean(shown, photos.judged) for name, shown in pictures.items()}

    args.out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(photos.names):
        shown = [image(column[index]) for column in pictures.values()]
        captions = [
            f"{column}\nPSNR {scores['psnr']:.1f} dB, CLIP-IQA {scores['clipiqa']:.2f}"
            for column in pictures
            for scores in [judge.one(pictures[column][index], photos.judged[index])]
        ]
        save_sheet(args.out / f"{name}.png", shown, captions, args.side)
        maps = [judge.map(column[index]).numpy() for column in pictures.values()]
        coloured = [overlay(*pair, criterion.metric.clip.cell) for pair in zip(shown, maps, strict=True)]
        captions = [f"{column}\nworst place {found.min():.2f}" for column, found in zip(pictures, maps, strict=True)]
        save_sheet(args.out / f"{name}-map.png", coloured, captions, args.side)
    write(args.out / "results.csv", [{"picture": name, **scores} for name, scores in rows.items()])
    write(args.out / "history.csv", [{"run": run.name, **scores} for run in runs for scores in run.history])

    print(f"\nMeans over {len(photos.names)} held-out photos; v: lower is better, ^: higher.\n{table(rows)}\n")
    alone, clean = cut(pictures["pixel loss alone"]), cut(photos.judged)
    for run in runs[1:]:
        alarm = GamingAlarm(run.criterion, allow_db=args.allow_db)
        alarm(alone, clean)
        found = alarm(cut(pictures[run.name]), clean).sentence
        print(f"{run.name}, against the pixel loss alone: {found or 'no alarm.'}")
        if run.last_good is not None and run.last_good[0] == 0:
            print(f"{run.name}: there was an alarm at the first check already, so no weights are kept.")
    print(f"Pictures and tables are in {args.out}; {time.perf_counter() - begin:.0f} s in all.")


def write(path: Path, rows: list[dict[str, object]] | list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    try:
        main()
    except CLIPIQAError as error:
        sys.exit(f"restoration.py: {error}")
