"""Train `mini`, the small CLIP that comes with the package, on folders of photos.

    python train_mini.py PHOTOS [PHOTOS ...] --work build/mini --output clipiqa_pyiqa/data/mini.safetensors

It has seen no human scores: photos are degraded by known amounts, and the score of a prompt pair is trained to follow.
The run is seeded, and goes on from its last checkpoint in `--work` if there is one. Recipe: configs/train/mini.yml.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import random
import time
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
import yaml
from mini.model import MiniCLIP, save
from mini.samples import VERSIONS, Batches, read_photos
from mini.words import AXES, prompts_of
from torch import nn
from torch.utils.data import DataLoader

log = logging.getLogger("train_mini")
CHECKPOINT_EVERY = 100
LOG_EVERY = 50


class Words(nn.Module):
    """All training prompts as compact token ids, and the rows of the token table that they use."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.texts = {axis: prompts_of(axis) for axis in AXES}
        tokens = {axis: [open_clip.tokenize(list(side)) for side in self.texts[axis]] for axis in AXES}
        self.ids = torch.unique(torch.cat([side.flatten() for sides in tokens.values() for side in sides]))
        # Sorted ids keep end-of-text the largest and the filler 0 the smallest.
        self.tokens = {axis: [torch.searchsorted(self.ids, side) for side in tokens[axis]] for axis in AXES}
        self.table = nn.Parameter(torch.randn(len(self.ids), width) * 0.02)

    def draw(self, axis: str, count: int, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """The paper's pair and `count` random paraphrase pairs: (1 + count, 77) positive and negative."""
        positive, negative = self.tokens[axis]
        chosen = [rng.choices(range(len(side)), k=count) for side in (positive, negative)]
        return positive[[0, *chosen[0]]], negative[[0, *chosen[1]]]

    def write_into(self, model: MiniCLIP) -> None:
        """Put the rows into CLIP's token table, zero elsewhere (the filler 0 is read by no prompt)."""
        weight = model.clip.token_embedding.weight.data
        weight.zero_()
        weight[self.ids[1:]] = self.table.data[1:]


def logits_of(
    model: MiniCLIP, words: Words, features: torch.Tensor, count: int, rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, D) -> (N, axes, 1 + count) logits of the pairs' scores, and (N, axes, 1 + count, 2) of each prompt alone."""
    drawn = [words.draw(axis, count, rng) for axis in AXES]
    tokens = torch.cat([side for pair in drawn for side in pair])  # axes x (positive, negative) x (1 + count)
    text = model.encode_tokens(tokens, words.table)
    single = model.clip.logit_scale.exp() * features @ text.T
    single = single.view(len(features), len(AXES), 2, 1 + count).transpose(2, 3)
    return single[..., 0] - single[..., 1], single


def loss_of(
    model: MiniCLIP, words: Words, batch: dict[str, torch.Tensor], config: dict, rng: random.Random, twice: bool
) -> dict[str, torch.Tensor]:
    """The parts of the loss, each already weighted; `twice`: look again at some images, flipped and resized."""
    weights, count = config["loss"], config["prompts_per_axis"]
    images = (batch["images"].float() / 255).contiguous(memory_format=torch.channels_last)
    target, weight = batch["target"], batch["weight"]
    shares = torch.tensor([config["axis_weights"][axis] for axis in AXES])
    shares = shares / shares.sum()
    pairs, single = logits_of(model, words, model.encode_image(images), count, rng)

    error = F.smooth_l1_loss(pairs, target.unsqueeze(-1).expand_as(pairs), reduction="none").mean(-1)
    # Each prompt by itself: half of the pair's logit up or down from a cosine of 0.2, so that words of two axes can
    # be set against each other.
    halves = torch.stack([target, -target], -1).unsqueeze(2) / 2 + 20.0
    alone = F.smooth_l1_loss(single, halves.expand_as(single), reduction="none").mean((-1, -2))

    grouped = pairs.mean(-1).view(-1, VERSIONS, len(AXES))
    wanted = target.view(-1, VERSIONS, len(AXES))
    known = weight.view(-1, VERSIONS, len(AXES))
    first, second = torch.triu_indices(VERSIONS, VERSIONS, 1)
    gap = wanted[:, first] - wanted[:, second]
    trust = (
        torch.minimum(known[:, first], known[:, second])
        * (gap.abs() / config["sure_gap"]).clamp(max=1)
        * (gap.abs() > 0.03)
    )
    order = F.softplus(-3 * gap.sign() * (grouped[:, first] - grouped[:, second]))

    def mean(loss: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Over the images of each axis by itself, so that an axis that few distortions move is learned too."""
        loss, weight = loss.flatten(0, -2), weight.flatten(0, -2)
        return (shares * (loss * weight).sum(0) / (weight.sum(0) + 1)).sum()

    parts = {
        "regression": weights["regression"] * mean(error, weight),
        "absolute": weights["absolute"] * mean(alone, weight),
        "ranking": weights["ranking"] * mean(order, trust),
    }
    if twice:
        parts["consistency"] = weights["consistency"] * consistency(model, words, images, pairs[..., 0], rng)
    return parts


def consistency(
    model: MiniCLIP, words: Words, images: torch.Tensor, logits: torch.Tensor, rng: random.Random
) -> torch.Tensor:
    """Flipped and resized by 0.7 to 1.4, an image keeps its score: one image per group, mostly the untouched one."""
    offsets = [0 if rng.random() < 0.6 else rng.randrange(1, VERSIONS) for _ in range(len(images) // VERSIONS)]
    chosen = torch.arange(0, len(images), VERSIONS) + torch.tensor(offsets)
    weight = torch.tensor([1.0 if offset == 0 else 0.3 for offset in offsets]).unsqueeze(-1)
    again, factor = images[chosen], math.exp(rng.uniform(math.log(0.7), math.log(1.4)))
    kind = rng.choice(("flip", "size", "both"))
    if kind != "size":
        again = again.flip(-1)
    if kind == "flip":
        weight = torch.ones_like(weight)
    else:
        again = F.interpolate(again, scale_factor=factor, mode="bicubic", antialias=True).clamp(0, 1)
    pairs, _ = logits_of(model, words, model.encode_image(again), 0, rng)
    return (weight * F.smooth_l1_loss(pairs[..., 0], logits[chosen], beta=0.3, reduction="none")).mean()


def freeze_batchnorm(model: nn.Module) -> None:
    """From here on train with the statistics that the metric will use: no gap between training and scoring."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def learning_rate(step: int, config: dict) -> float:
    """Linear warm-up, constant, then linear to zero."""
    return config["learning_rate"] * min(1.0, (step + 1) / config["warmup"], (config["steps"] - step) / config["decay"])


def train(config: dict, photos: dict, work: Path, workers: int, begin: Path | None) -> tuple[MiniCLIP, Words]:
    """Run the recipe, or what is left of it; returns the averaged model and its words."""
    torch.manual_seed(config["seed"])
    model = MiniCLIP(**config["architecture"])
    words = Words(config["architecture"]["text_width"])
    both = nn.ModuleList([model, words])
    if begin is not None:
        both.load_state_dict(torch.load(begin, weights_only=True)["average"])
    mean_model, mean_words = copy.deepcopy(model), copy.deepcopy(words)
    average = nn.ModuleList([mean_model, mean_words]).requires_grad_(False)
    trained = [p for p in both.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config["learning_rate"])
    start, saved = 0, work / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        both.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        log.info("going on from step %d of %s", start, saved)

    data = Batches(list(photos.values()), config["kinds"], config["sizes"], config["pixels"], config["seed"])
    loader = DataLoader(data, batch_size=None, sampler=range(start, config["steps"]), num_workers=workers)
    frozen_from = config["steps"] - config["decay"]
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.02  # a batch holds few photos: average over many
    sums: dict[str, float] = {}
    began = time.perf_counter()
    for step, batch in enumerate(loader, start):
        if step >= frozen_from:
            freeze_batchnorm(model)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        twice = step % config["consistency_every"] == 0
        parts = loss_of(model, words, batch, config, random.Random(f"{config['seed']} {step}"), twice)
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        decay = min(config["ema"], step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.state_dict().values(), both.state_dict().values(), strict=True):
                mean.lerp_(value, 1 - decay) if mean.is_floating_point() and mean.numel() < 10**6 else mean.copy_(value)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % LOG_EVERY == 0:
            shown = "  ".join(f"{name} {total / LOG_EVERY:.4f}" for name, total in sums.items())
            log.info("step %5d  %s  %.0f s", step + 1, shown, time.perf_counter() - began)
            sums.clear()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == config["steps"]:
            state = {"model": both.state_dict(), "average": average.state_dict()}
            torch.save({**state, "optimizer": optimizer.state_dict(), "step": step + 1}, saved.with_suffix(".tmp"))
            saved.with_suffix(".tmp").replace(saved)
    return mean_model.eval(), mean_words


def metadata_of(config: dict, words: Words, photos: dict) -> dict[str, object]:
    """What a reader of the file should know: the words it was trained on, and how."""
    return {
        "name": "mini",
        "note": "trained on photos degraded by known amounts; it has seen no human scores",
        "recipe_version": config["version"],
        "seed": config["seed"],
        "architecture": config["architecture"],
        "prompts": {axis: list(words.texts[axis]) for axis in AXES},
        "token_ids": words.ids[1:].tolist(),
        "photos": len(photos),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of undistorted photos, searched recursively")
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[3] / "configs/train/mini.yml")
    parser.add_argument("--exclude", nargs="*", default=[], help="leave out photos whose path contains one of these")
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="for the checkpoint and the log")
    parser.add_argument("--output", type=Path, default=Path("build/mini/mini.safetensors"))
    parser.add_argument("--begin", type=Path, help="checkpoint of an earlier run to begin from, averaged")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that make batches")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    config = yaml.safe_load(args.config.read_text())
    photos = read_photos(args.photos, config["max_side"], args.exclude)
    log.info("recipe %s\n%d photos: %s", json.dumps(config), len(photos), ", ".join(photos))
    model, words = train(config, photos, args.work, args.workers, args.begin)
    words.write_into(model)
    save(model, args.output, metadata_of(config, words, photos))
    log.info("wrote %s, %.1f MB", args.output, args.output.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
