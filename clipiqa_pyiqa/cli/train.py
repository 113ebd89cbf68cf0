"""``clipiqa train``: learn the prompts of CLIP-IQA+ from scores that people gave."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError

if TYPE_CHECKING:
    import torch

    from ..features import FeatureStore, View
    from ..metric import CLIPIQA
    from ..score_table import ScoreTable
    from ..train_config import TrainConfig
    from ..training import Features, Progress, Scores

EPILOG = """\
Each image is encoded once into a feature store; an epoch over stored features takes seconds. Recipes: plain (whole
images, our default), official (the authors'), pyiqa (its trainer's). A run that was stopped goes on with --resume.

examples:
  clipiqa train scores.csv --out runs/mine
  clipiqa train scores.csv --out runs/mine --range 1 5 --recipe pyiqa --crop 224
  clipiqa train koniq10k --data-root datasets --out runs/koniq --recipe pyiqa
  clipiqa train --config configs/train/pyiqa.yml --out runs/koniq
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipiqa train``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    data = parser.add_argument_group("scores").add_argument
    data("scores", nargs="?", metavar="CSV|NAME", help="a CSV file of paths and scores, or a data set of pyiqa's")
    data("--root", metavar="DIR", help="folder of the images (default: that of the CSV file)")
    data("--data-root", metavar="DIR", default="datasets", help="folder of pyiqa's data sets (default: datasets)")
    data("--columns", nargs="+", metavar="NAME", help="columns of paths and scores, and of splits if there is one")
    data("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="lowest and highest possible score")
    data("--lower-better", action="store_true", default=None, help="low scores are good")
    data("--val-fraction", type=float, metavar="X", help="share to validate on without a split column (default: 0.2)")
    data("--skip-missing", action="store_true", help="train without the images that are missing")
    how = parser.add_argument_group("recipe").add_argument
    how("--config", metavar="FILE", help="a YAML file in the format of pyiqa's trainer; the options below change it")
    how("--recipe", metavar="NAME", help="plain (default), official or pyiqa")
    how("--prompts", metavar="PAIR", help="words to learn around: a name or 'positive|negative' (default: quality)")
    how("--n-ctx", type=int, metavar="N", help="context vectors (default: 16)")
    how("--shared", action=argparse.BooleanOptionalAction, help="one context for both texts, or one for each")
    how("--init", choices=("x", "random"), help="how the context starts")
    how("--batch-size", type=int, metavar="N")
    how("--epochs", type=int, metavar="N")
    how("--lr", type=float, metavar="RATE")
    how("--crop", type=int, metavar="PX", help="train on random square crops of this side; 0: on whole images")
    how("--crops", type=int, metavar="K", help="cached crops per image, in place of random ones (default: 4)")
    how("--exact", action="store_true", help="encode images at every step, with fresh random crops: slow")
    how("--seed", type=int, metavar="N")
    model = parser.add_argument_group("which CLIP").add_argument
    model("--backbone", metavar="NAME", help="RN50 (default), ViT-L/14, …")
    model("--clip-weights", metavar="FILE|TAG")
    model("--quick-gelu", action=argparse.BooleanOptionalAction)
    model("--pos-embedding", metavar="MODE", help="none, interpolate or fixed")
    model("--device", metavar="DEVICE", help="default: cuda if there is one, else cpu")
    run = parser.add_argument_group("run").add_argument
    run("--out", metavar="DIR", required=True, help="folder for best.safetensors, last.safetensors and the log")
    run("--resume", action="store_true", help="go on with the run in --out")
    run("--overwrite", action="store_true", help="replace the run in --out")
    run("--features", metavar="DIR", help="folder of the feature store (default: ~/.cache/clipiqa/features)")
    run("--workers", type=int, metavar="N", help="decoding threads")
    run("--quiet", "-q", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores and the line that loads the result."""
    import torch

    from ..metric import CLIPIQA
    from ..train_config import RECIPES, nearest, read_config
    from ..training import Trainer, prepare_folder, targets_of
    from .device import find_device

    if args.config and args.recipe:
        raise CLIPIQAError("--config and --recipe both state a recipe: give one of the two.")
    name = args.recipe or "plain"
    if name not in RECIPES:
        raise CLIPIQAError(f"unknown recipe {name!r}: {nearest(name, RECIPES)}")
    config = _changed(read_config(args.config) if args.config else RECIPES[name], args)
    device = find_device(args.device)
    table = _table(args, config)  # everything that can be wrong with the data, before anything takes time
    folder = prepare_folder(args.out, args.resume, args.overwrite)
    torch.manual_seed(config.seed)  # a random context
    metric = CLIPIQA(**config.network).to(device)
    say = _silent if args.quiet else _say
    if table.skipped:
        say(f"{len(table.skipped)} missing images are left out")
    features, whole = _features(args, config, table, metric, device, say)
    trainer = Trainer(
        metric,
        config,
        features,
        targets_of(table, "train"),
        whole["val"],
        targets_of(table, "val").squeeze(1),
        folder,
        {
            **{"data_set": table.name, "score_range": table.score_range, "lower_better": table.lower_better},
            **{"training_images": len(table.rows("train")), "validation_images": len(table.rows("val"))},
        },
        args.resume,
    )
    if trainer.epoch:
        say(f"going on after epoch {trainer.epoch}")
    try:
        trainer.run(_reporter(say, config.recipe.epochs))
    except KeyboardInterrupt:
        print(
            f"clipiqa train: interrupted after epoch {trainer.epoch}, which is saved; --resume goes on from there",
            file=sys.stderr,
        )
        return 130
    _show(trainer, table, whole, folder)
    return 0


def _changed(config: TrainConfig, args: argparse.Namespace) -> TrainConfig:
    """The configuration, with what the command line says otherwise."""
    from ..prompts import parse_prompt_argument
    from ..train_config import replaced

    asked = {name: getattr(args, name) for name in ("batch_size", "epochs", "crops", "seed", "backbone", "quick_gelu")}
    asked |= {"clip_weights": args.clip_weights, "pos_embedding": args.pos_embedding}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if args.crop is not None:
        changes["crop"] = args.crop or None
    if args.lr is not None:
        changes["optim"] = {**config.recipe.optim, "lr": args.lr}
    if args.epochs is not None and config.recipe.scheduler and "T_max" in config.recipe.scheduler:
        period = config.recipe.scheduler["T_max"] * args.epochs / config.recipe.epochs
        changes["scheduler"] = {**config.recipe.scheduler, "T_max": period}  # the same curve, in fewer epochs
    if args.prompts is not None:
        prompts = parse_prompt_argument(args.prompts)
        changes["prompts"] = prompts
    context = {"n_ctx": args.n_ctx, "shared": args.shared, "init": args.init}
    context = {name: value for name, value in context.items() if value is not None}
    if context:
        changes["context"] = {**(config.network.get("context") or {}), **context}
    return replaced(config, **changes)


def _table(args: argparse.Namespace, config: TrainConfig) -> ScoreTable:
    from ..score_table import known_data_set, read_score_table

    if args.scores is None:
        if not config.data.get("path"):
            raise CLIPIQAError("no scores given: name a CSV file, or a --config with a data set.")
        options = dict(config.data)
    elif Path(args.scores).suffix or Path(args.scores).exists():
        options = {"path": args.scores}
    else:
        options = known_data_set(args.scores, args.data_root)
    if args.columns is not None:
        if len(args.columns) not in (2, 3):
            raise CLIPIQAError(f"--columns takes two or three names, but {len(args.columns)} came.")
        options["columns"] = (*args.columns, None)[:3]
    given = {"root": args.root, "lower_better": args.lower_better, "val_fraction": args.val_fraction}
    given["score_range"] = tuple(args.range) if args.range else None
    options |= {name: value for name, value in given.items() if value is not None}
    return read_score_table(**options, seed=config.seed, skip_missing=args.skip_missing)


def _features(
    args: argparse.Namespace,
    config: TrainConfig,
    table: ScoreTable,
    metric: CLIPIQA,
    device: torch.device,
    say: Any,
) -> tuple[Features, dict[str, torch.Tensor]]:
    """Features of the training images, and those of the whole images of the other splits."""
    from ..features import FeatureStore
    from ..training import CachedFeatures, ImageFeatures, Views, whole_views

    store = FeatureStore(metric, args.features)
    views = Views(config.recipe, config.seed, args.exact)
    paths = {split: [table.paths[row] for row in table.rows(split)] for split in ("train", "val", "test")}
    whole = {
        split: _filled(store, paths[split], whole_views(len(paths[split])), split, args, device, say)[:, 0]
        for split in ("val", "test")
    }
    if args.exact:
        return ImageFeatures(metric, paths["train"], views, device), whole
    if config.recipe.crop:
        say(f"{config.recipe.crops} seeded crops per image stand in for random ones; --exact draws them afresh")
    _filled(store, paths["train"], [views.of(row) for row in range(len(paths["train"]))], "train", args, device, say)
    return CachedFeatures(store, paths["train"], views), whole


def _filled(
    store: FeatureStore,
    paths: Sequence[Path],
    views: Sequence[Sequence[View]],
    split: str,
    args: argparse.Namespace,
    device: torch.device,
    say: Any,
) -> torch.Tensor:
    """The features asked for, encoded where they are not in the store yet."""
    import torch
    from tqdm import tqdm

    if not paths:
        return torch.empty(0, 1, store.dim)
    plan = store.plan(paths, views)
    say(
        f"{split}: {plan.to_encode:,} of {plan.asked:,} features to encode from {len(plan.missing):,} images; "
        f"{store.path} grows by {plan.bytes / 1e6:,.1f} MB"
    )
    with tqdm(total=plan.to_encode, unit="feature", disable=True if args.quiet else None) as bar:
        store.fill(plan, device=device, workers=args.workers, progress=bar.update)
    return store.read(plan, views)


def _reporter(say: Any, epochs: int) -> Any:
    def report(progress: Progress) -> None:
        best = "  best so far" if progress.is_best else ""
        say(f"epoch {progress.epoch}/{epochs}: loss {progress.loss:.5f}, validation {_text(progress.scores)}{best}")

    return report


def _show(trainer: Any, table: ScoreTable, whole: dict[str, torch.Tensor], folder: Path) -> None:
    from ..training import BEST, evaluate, targets_of

    best = folder / BEST
    print(f"{table.name}: trained on {len(table.rows('train'))} images for {trainer.epoch} epochs")
    print(f"best epoch, {len(table.rows('val'))} validation images: {_text(trainer.best_scores)}")
    metric = trainer.metric
    if len(table.rows("test")) > 1:
        metric.load_prompts(best)
        scores = evaluate(metric, whole["test"].to(trainer.device), targets_of(table, "test").squeeze(1))
        print(f"best epoch, {len(table.rows('test'))} test images: {_text(scores)}")
    print(f"log: tensorboard --logdir {folder / 'tensorboard'}")
    options = {"pretrained_model_path": str(best.resolve())}
    network = trainer.config.network
    for name, usual in {"backbone": "RN50", "clip_weights": None, "quick_gelu": None}.items():
        if network.get(name, usual) != usual:
            options[name] = network[name]
    if metric.pos_embedding != "none":
        options["pos_embedding"] = metric.pos_embedding
    said = "".join(f", {name}={value!r}" for name, value in options.items())
    print(f"load it with:\npyiqa.create_metric('clipiqa+'{said})")


def _text(scores: Scores) -> str:
    return ", ".join(f"{name.upper()} {value:.4f}" for name, value in scores.items())


def _say(text: str) -> None:
    from tqdm import tqdm

    with tqdm.external_write_mode():
        print(f"clipiqa train: {text}", file=sys.stderr)


def _silent(text: str) -> None:
    """Say nothing."""
