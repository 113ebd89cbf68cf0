"""Images with scores that people gave, and their stored features, for every command that learns from them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError
from .model import add_decoding_options
from .wording import tell

if TYPE_CHECKING:
    from ...datasets.score_table import ScoreTable


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Which images, and what people said of them."""
    add = parser.add_argument_group("scores").add_argument
    add("scores", nargs="?", metavar="CSV|NAME", help="a CSV file of paths and scores, or a data set of pyiqa's")
    add("--root", metavar="DIR", help="folder of the images (default: that of the CSV file)")
    add("--data-root", metavar="DIR", default="datasets", help="folder of pyiqa's data sets (default: datasets)")
    add("--columns", nargs="+", metavar="NAME", help="columns of paths and scores, and of splits if there is one")
    add("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="lowest and highest possible score")
    add("--lower-better", action="store_true", default=None, help="low scores are good")
    add("--val-fraction", type=float, metavar="X", help="share to hold out without a split column (default: 0.2)")
    add("--skip-missing", action="store_true", help="go on without the images that are missing")


def add_store_options(add: Any) -> None:
    """Where features are kept, and how they are made."""
    add("--features", metavar="DIR", help="folder of the feature store (default: ~/.cache/clipiqa/features)")
    add_decoding_options(add)
    add("--workers", type=int, metavar="N", help="decoding threads (default: one per core, up to 8)")
    add("--quiet", "-q", action="store_true", help="no progress")


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the model, as arguments of :class:`~clipiqa_pyiqa.CLIPIQA`."""
    names = ("backbone", "clip_weights", "quick_gelu", "pos_embedding", "precision")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def asked_table(args: argparse.Namespace, data: Mapping[str, Any], seed: int, **more: Any) -> ScoreTable:
    """The table that the command line names, or else the one in ``data``, with what the command line says otherwise."""
    from ...datasets.score_table import find_score_table, read_score_table

    if args.columns is not None and len(args.columns) not in (2, 3):
        raise CLIPIQAError(f"--columns takes two or three names, but {len(args.columns)} came.")
    given = {"root": args.root, "lower_better": args.lower_better, "val_fraction": args.val_fraction}
    given["score_range"] = tuple(args.range) if args.range else None
    given["columns"] = (*args.columns, None)[:3] if args.columns else None
    options = {name: value for name, value in given.items() if value is not None}
    options |= {"skip_missing": args.skip_missing, "seed": seed, **more}
    if args.scores is not None:
        return find_score_table(args.scores, data_root=args.data_root, **options)
    if not data.get("path"):
        raise CLIPIQAError("no scores given: name a CSV file, or a data set of pyiqa's.")
    return read_score_table(**{**data, **options})


def say(args: argparse.Namespace, text: str) -> None:
    """Tell how things go, on standard error, unless asked to be quiet."""
    from tqdm import tqdm

    if not args.quiet:
        with tqdm.external_write_mode():
            tell(args.command, text)


def sayer(args: argparse.Namespace) -> Callable[[str], None] | None:
    """:func:`say` for a function that tells how it gets on; None to be quiet."""
    return None if args.quiet else partial(say, args)


def loading(name: str, network: Mapping[str, Any], **options: Any) -> str:
    """The line of Python that builds a metric on the same CLIP, with these options."""
    usual = {"backbone": ("RN50",), "clip_weights": (), "quick_gelu": (), "pos_embedding": (False, "none")}
    for option, values in {**usual, "precision": ("fp32",)}.items():
        if network.get(option) not in (None, *values):
            options[option] = network[option]
    said = "".join(f", {option}={value if option == 'prompts' else repr(value)}" for option, value in options.items())
    return f"pyiqa.create_metric({name!r}{said})"
