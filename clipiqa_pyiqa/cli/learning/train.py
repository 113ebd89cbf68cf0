"""``clipiqa train``: learn the prompts of CLIP-IQA+ from scores that people gave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError, nearest
from ..options.model import add_model_options
from ..options.scored_images import (
    add_store_options,
    add_table_options,
    loading,
    model_options,
    read_table,
    say,
    stored,
)

if TYPE_CHECKING:
    import torch

    from ...learning.recipe import TrainConfig
    from ...learning.trainer import Progress, Scores
    from ...learning.views import Features
    from ...metric import CLIPIQA
    from ...opinions.score_table import ScoreTable

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
    add_table_options(parser)
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
    add_model_options(parser)
    parser.set_defaults(backbone=None, pos_embedding=None, precision=None)  # the recipe decides
    run = parser.add_argument_group("run").add_argument
    run("--out", metavar="DIR", required=True, help="folder for best.safetensors, last.safetensors and the log")
    run("--resume", action="store_true", help="go on with the run in --out")
    run("--overwrite", action="store_true", help="replace the run in --out")
    add_store_options(run)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores and the line that loads the result."""
    import torch

    from ...learning.recipe import RECIPES, read_config
    from ...learning.trainer import Trainer, prepare_folder, targets_of
    from ...metric import CLIPIQA
    from ..options.device import find_device

    if args.config and args.recipe:
        raise CLIPIQAError("--config and --recipe both state a recipe: give one of the two.")
    name = args.recipe or "plain"
    if name not in RECIPES:
        raise CLIPIQAError(f"unknown recipe {name!r}: {nearest(name, RECIPES)}")
    config = _changed(read_config(args.config) if args.config else RECIPES[name], args)
    device = find_device(args.device)
    table = read_table(args, config.data, config.seed)  # what can be wrong with the data, before anything takes time
    folder = prepare_folder(args.out, args.resume, args.overwrite)
    torch.manual_seed(config.seed)  # a random context
    metric = CLIPIQA(**config.network).to(device)
    if table.skipped:
        say(args, f"{len(table.skipped)} missing images are left out")
    features, whole = _features(args, config, table, metric, device)
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
        say(args, f"going on after epoch {trainer.epoch}")
    try:
        trainer.run(_reporter(args, config.recipe.epochs))
    except KeyboardInterrupt:
        print("clipiqa train: interrupted; --resume goes on after the last whole epoch", file=sys.stderr)
        return 130
    _show(trainer, table, whole, folder)
    return 0


def _changed(config: TrainConfig, args: argparse.Namespace) -> TrainConfig:
    """The configuration, with what the command line says otherwise."""
    from ...learning.recipe import replaced
    from ...prompts.pairs import parse_prompt_argument

    asked = {name: getattr(args, name) for name in ("batch_size", "epochs", "crops", "seed")}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None} | model_options(args)
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


def _features(
    args: argparse.Namespace,
    config: TrainConfig,
    table: ScoreTable,
    metric: CLIPIQA,
    device: torch.device,
) -> tuple[Features, dict[str, torch.Tensor]]:
    """Features of the training images, and those of the whole images of the other splits."""
    from ...learning.feature_store import FeatureStore
    from ...learning.views import CachedFeatures, ImageFeatures, Views, whole_views

    store = FeatureStore(metric, args.features)
    views = Views(config.recipe, config.seed, args.exact)
    paths = {split: [table.paths[row] for row in table.rows(split)] for split in ("train", "val", "test")}
    whole = {
        split: stored(args, store, paths[split], whole_views(len(paths[split])), split, device)[:, 0]
        for split in ("val", "test")
    }
    if args.exact:
        return ImageFeatures(metric, paths["train"], views, device), whole
    if config.recipe.crop:
        say(args, f"{config.recipe.crops} seeded crops per image stand in for random ones; --exact draws them afresh")
    stored(args, store, paths["train"], [views.of(row) for row in range(len(paths["train"]))], "train", device)
    return CachedFeatures(store, paths["train"], views), whole


def _reporter(args: argparse.Namespace, epochs: int) -> Any:
    def report(progress: Progress) -> None:
        best = "  best so far" if progress.is_best else ""
        say(
            args,
            f"epoch {progress.epoch}/{epochs}: loss {progress.loss:.5f}, validation {_text(progress.scores)}{best}",
        )

    return report


def _show(trainer: Any, table: ScoreTable, whole: dict[str, torch.Tensor], folder: Path) -> None:
    from ...learning.trainer import BEST, evaluate, targets_of

    best = folder / BEST
    print(f"{table.name}: trained on {len(table.rows('train'))} images for {trainer.epoch} epochs")
    print(f"best epoch, {len(table.rows('val'))} validation images: {_text(trainer.best_scores)}")
    metric = trainer.metric
    if len(table.rows("test")) > 1:
        metric.load_prompts(best)
        scores = evaluate(metric, whole["test"].to(trainer.device), targets_of(table, "test").squeeze(1))
        print(f"best epoch, {len(table.rows('test'))} test images: {_text(scores)}")
    print(f"log: tensorboard --logdir {folder / 'tensorboard'}")
    network = {**trainer.config.network, "pos_embedding": metric.pos_embedding}
    line = loading("clipiqa+", network, pretrained_model_path=str(best.resolve()))
    print(f"load it with:\n{line}")


def _text(scores: Scores) -> str:
    return ", ".join(f"{name.upper()} {value:.4f}" for name, value in scores.items())
