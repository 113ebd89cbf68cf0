"""``clipiqa train``: learn the prompts of CLIP-IQA+ from scores that people gave."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, counted
from ..files.names import one_line
from .options.model import add_model_options, prepare_reading
from .options.scored_images import add_store_options, add_table_options, asked_table, loading, model_options, say, sayer
from .options.signals import on_interrupt

if TYPE_CHECKING:
    from ..learning.trainer import Progress, Scores

EPILOG = """\
Each image is encoded once into a feature store; an epoch over stored features takes seconds. Recipes: plain (whole
images, our default), official (the authors'), pyiqa (its trainer's). A run that was stopped goes on with --resume.

examples:
  clipiqa train scores.csv --out runs/mine
  clipiqa train scores.csv --out runs/mine --range 1 5 --recipe pyiqa --crop 224
  clipiqa train koniq10k --data-root datasets --out runs/koniq --recipe pyiqa
  clipiqa train --config my.yml --out runs/koniq
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
    how("--batch-size", type=int, metavar="N", help="images or crops in a step")
    how("--epochs", type=int, metavar="N", help="passes over the images")
    how("--lr", type=float, metavar="RATE", help="learning rate")
    how("--crop", type=int, metavar="PX", help="train on random square crops of this side; 0: on whole images")
    how("--crops", type=int, metavar="K", help="cached crops per image, in place of random ones (default: 4)")
    how("--exact", action="store_true", help="encode images at every step, with fresh random crops: slow")
    how("--seed", type=int, metavar="N", help="of the start, the order and the split (default: 123)")
    how("--without-mini-photos", action="store_true", help="on mini, leave out the photos that mini was trained on")
    add_model_options(parser)
    parser.set_defaults(backbone=None, pos_embedding=None, precision=None)  # the recipe decides
    run = parser.add_argument_group("run").add_argument
    run("--out", metavar="DIR", required=True, help="folder for best.safetensors, last.safetensors and the log")
    run("--resume", action="store_true", help="go on with the run in --out")
    run("--overwrite", action="store_true", help="replace the run in --out")
    add_store_options(run)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores and the line that loads the result."""
    from ..clip.device import find_device
    from ..learning.recipe import find_recipe, with_options
    from ..learning.training import train
    from ..prompts.pairs import parse_prompt_argument

    if args.config and args.recipe:
        raise CLIPIQAError("--config and --recipe both state a recipe: give one of the two.")
    names = ("batch_size", "epochs", "lr", "crop", "crops", "seed", "n_ctx", "shared", "init")
    changes = {name: getattr(args, name) for name in names} | model_options(args)
    changes["prompts"] = None if args.prompts is None else parse_prompt_argument(args.prompts)
    config = with_options(find_recipe(Path(args.config) if args.config else args.recipe or "plain"), **changes)
    prepare_reading(args.huge)
    device = find_device(args.device)
    with on_interrupt("--resume goes on after the last whole epoch"):
        result = train(
            asked_table(args, config.data, config.seed), args.out, recipe=config, exact=args.exact, device=device,
            features=args.features, workers=args.workers, resume=args.resume, overwrite=args.overwrite,
            without_mini_photos=args.without_mini_photos,
            report=partial(_report, args), say=sayer(args),
        )  # fmt: skip
    images = {split: len(result.table.rows(split)) for split in ("train", "val", "test")}
    print(f"{result.table.name}: trained on {counted(images['train'], 'image')} for {counted(result.epochs, 'epoch')}")
    for split, scores in result.scores.items():
        what = "validation" if split == "val" else split
        print(f"best epoch, {counted(images[split], f'{what} image')}: {_text(scores)}")
    print(f"log: tensorboard --logdir {one_line(str(result.folder / 'tensorboard'))}")
    network = {**config.network, "pos_embedding": result.metric.pos_embedding}
    print(f"load it with:\n{loading('clipiqa+', network, pretrained_model_path=str(result.best.resolve()))}")
    return 0


def _report(args: argparse.Namespace, progress: Progress, epochs: int) -> None:
    best = "  best so far" if progress.is_best else ""
    say(args, f"epoch {progress.epoch}/{epochs}: loss {progress.loss:.5f}, validation {_text(progress.scores)}{best}")


def _text(scores: Scores) -> str:
    return ", ".join(f"{name.upper()} {value:.4f}" for name, value in scores.items())
