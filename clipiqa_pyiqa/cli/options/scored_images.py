"""Images with scores that people gave, and their stored features, for every command that learns from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError
from .model import positive

if TYPE_CHECKING:
    import torch

    from ...learning.feature_store import FeatureStore, View
    from ...opinions.score_table import ScoreTable


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
    add("--workers", type=positive, metavar="N", help="decoding threads (default: one per core, up to 8)")
    add("--quiet", "-q", action="store_true", help="no progress")


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the model, as arguments of :class:`~clipiqa_pyiqa.CLIPIQA`."""
    names = ("backbone", "clip_weights", "quick_gelu", "pos_embedding", "precision")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def read_table(args: argparse.Namespace, data: Mapping[str, Any], seed: int, **more: Any) -> ScoreTable:
    """The table that the command line names, or else the one in ``data``, with what the command line says otherwise."""
    from ...opinions.score_table import known_data_set, read_score_table

    if args.scores is None:
        if not data.get("path"):
            raise CLIPIQAError("no scores given: name a CSV file, or a data set of pyiqa's.")
        options = dict(data)
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
    return read_score_table(**options, seed=seed, skip_missing=args.skip_missing, **more)


def stored(
    args: argparse.Namespace,
    store: FeatureStore,
    paths: Sequence[Path],
    views: Sequence[Sequence[View]],
    what: str,
    device: torch.device,
) -> torch.Tensor:
    """The features asked for, ``(N, V, D)``, encoded where they are not in the store yet."""
    import torch
    from tqdm import tqdm

    if not paths:
        return torch.empty(0, 1, store.dim)
    plan = store.plan(paths, views)
    say(
        args,
        f"{what}: {plan.to_encode:,} of {plan.asked:,} features to encode from {len(plan.missing):,} images; "
        f"{store.path} grows by {plan.bytes / 1e6:,.1f} MB",
    )
    with tqdm(total=plan.to_encode, unit="feature", disable=True if args.quiet else None) as bar:
        store.fill(plan, device=device, workers=args.workers, progress=bar.update)
    return store.read(plan, views)


def say(args: argparse.Namespace, text: str) -> None:
    """Tell how things go, on standard error, unless asked to be quiet."""
    from tqdm import tqdm

    if not args.quiet:
        with tqdm.external_write_mode():
            print(f"clipiqa {args.command}: {text}", file=sys.stderr)


def loading(name: str, network: Mapping[str, Any], **options: Any) -> str:
    """The line of Python that builds a metric on the same CLIP, with these options."""
    usual = {"backbone": ("RN50",), "clip_weights": (), "quick_gelu": (), "pos_embedding": (False, "none")}
    for option, values in {**usual, "precision": ("fp32",)}.items():
        if network.get(option) not in (None, *values):
            options[option] = network[option]
    said = "".join(f", {option}={value if option == 'prompts' else repr(value)}" for option, value in options.items())
    return f"pyiqa.create_metric({name!r}{said})"
