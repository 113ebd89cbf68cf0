"""How to train: recipes, and the YAML files in pyiqa's own format that state them.

The same file runs under pyiqa's trainer. What this package adds stands in its block ``cached``, which pyiqa ignores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import BOUNDS
from ..errors import ConfigError, shown
from ..files.yaml import check_keys, read_yaml

_TOP = (
    *("name", "model_type", "num_gpu", "manual_seed", "datasets", "network", "path", "train", "val", "logger"),
    *("dist_params", "find_unused_parameters", "cached"),
)
_DATA_SET = (
    *("name", "type", "dataroot_target", "meta_info_file", "split_index", "split_ratio", "split_file", "mos_range"),
    *("mos_max", "lower_better", "mos_normalize", "augment", "img_range", "use_shuffle", "num_worker_per_gpu"),
    *("batch_size_per_gpu", "dataset_enlarge_ratio", "prefetch_mode", "phase"),
)
_TRAIN = ("optim", "scheduler", "total_iter", "total_epoch", "warmup_iter", "mos_loss_opt", "metric_loss_opt")
_NETWORK = (
    *("type", "model_type", "backbone", "pretrained", "pos_embedding", "prompts", "template", "precision"),
    *("clip_weights", "quick_gelu", "pretrained_model_path", "context"),
)


@dataclass(frozen=True)
class Recipe:
    """How the context is fitted. Optimizer, scheduler and losses are torch's and pyiqa's, by name.

    Attributes:
        optim: ``type``, a class of ``torch.optim``, and its options.
        scheduler: ``type``, a class of ``torch.optim.lr_scheduler``, and its options, in epochs; None keeps the rate.
        losses: each a ``type`` of pyiqa's losses and its options; their sum is minimised.
        batch_size: images per step.
        epochs: passes over the training images; an incomplete last batch of each is left out, as pyiqa does.
        hflip: whether each image is flipped at random.
        crop: side in pixels of a random square crop; None trains on whole images.
        crops: how many seeded crops of each image stand in for random ones when features are cached.
    """

    optim: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    losses: tuple[Mapping[str, Any], ...]
    batch_size: int
    epochs: int
    hflip: bool = True
    crop: int | None = None
    crops: int = 4

    def __post_init__(self) -> None:
        for name, least in {"batch_size": 1, "epochs": 1, "crops": 1, "crop": 32}.items():
            value = getattr(self, name)
            most = BOUNDS[name][1]
            if not (name == "crop" and value is None) and not (isinstance(value, int) and least <= value <= most):
                raise ConfigError(f"{name} must be a whole number between {least} and {most:,}; got {shown(value)}.")
        if not self.losses:
            raise ConfigError("the recipe names no loss: set mos_loss_opt, metric_loss_opt or both.")


@dataclass(frozen=True)
class TrainConfig:
    """Everything a training run depends on but the images.

    Attributes:
        name: of the run.
        seed: of shuffling, flips, crops, a random context, and the split where the data set has none.
        data: arguments of :func:`clipiqa_pyiqa.datasets.score_table.read_score_table`.
        network: arguments of :class:`clipiqa_pyiqa.CLIPIQA`.
        recipe: how to fit.
    """

    name: str
    seed: int
    data: Mapping[str, Any]
    network: Mapping[str, Any]
    recipe: Recipe


OFFICIAL = TrainConfig(
    # https://github.com/IceClear/CLIP-IQA, released at 80k of 300k iterations: epochs of KonIQ-10k's 110 batches
    name="official",
    seed=123,
    data={},
    network={
        **{"model_type": "clipiqa+", "backbone": "RN50", "pretrained": False, "pos_embedding": False},
        "context": {"n_ctx": 16, "shared": True, "init": "random"},
    },
    recipe=Recipe(
        optim={"type": "SGD", "lr": 2e-3},
        scheduler={"type": "CosineAnnealingLR", "T_max": 2727, "eta_min": 0},
        losses=({"type": "MSELoss", "loss_weight": 1.0},),
        batch_size=64,
        epochs=727,
    ),
)
PYIQA = TrainConfig(
    # pyiqa's options/train/CLIPIQA/train_CLIPIQA_koniq10k.yml
    name="pyiqa",
    seed=123,
    data={},
    network={
        **{"model_type": "clipiqa+", "backbone": "RN50", "pretrained": False, "pos_embedding": True},
        "context": {"n_ctx": 16, "shared": False, "init": "x"},
    },
    recipe=Recipe(
        optim={"type": "Adam", "lr": 2e-3},
        scheduler={"type": "CosineAnnealingLR", "T_max": 50, "eta_min": 0},
        losses=({"type": "MSELoss", "loss_weight": 1.0}, {"type": "PLCCLoss", "loss_weight": 1.0}),
        batch_size=8,
        epochs=50,
        crop=384,
    ),
)
PLAIN = dataclasses.replace(
    # ours: pyiqa's optimiser and losses on whole images, so that features are exact, and CLIP-IQA's own embedding
    PYIQA,
    name="plain",
    network={**PYIQA.network, "pos_embedding": False},
    recipe=dataclasses.replace(PYIQA.recipe, crop=None),
)
RECIPES = {"plain": PLAIN, "official": OFFICIAL, "pyiqa": PYIQA}


def read_recipe(path: str | Path) -> TrainConfig:
    """Read a YAML file in the format of pyiqa's trainer.

    Raises:
        ConfigError: it cannot be read, has unknown keys, or lacks what is needed.
    """
    options = read_yaml(path)
    try:
        return parse_config(options)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(options: Any) -> TrainConfig:
    """The configuration in a mapping as pyiqa's trainer reads it from YAML."""
    top = _section(options, "the configuration", _TOP)
    data_sets = _need(top, "datasets", "the configuration")
    if not isinstance(data_sets, Mapping):
        raise ConfigError("datasets must hold a block 'train'.")
    check_keys(data_sets, ("train", "val"), "datasets")
    data = _section(_need(data_sets, "train", "datasets"), "datasets: train", _DATA_SET)
    augment = _section(data.get("augment") or {}, "augment", ("hflip", "random_crop"))
    train = _section(_need(top, "train", "the configuration"), "train", _TRAIN)
    network = dict(_section(_need(top, "network", "the configuration"), "network", _NETWORK))
    cached = _section(top.get("cached") or {}, "cached", ("crops",))
    network.pop("type", None)
    _check_kind(train, "train", "warmup_iter", int, "a whole number")
    if (train.get("warmup_iter") or -1) > 0:
        raise ConfigError("warmup_iter is not supported: leave it out or set it to -1.")
    for options, title, key, kind, what in (
        (train, "train", "optim", Mapping, "a mapping with a 'type'"),
        (train, "train", "scheduler", Mapping, "a mapping with a 'type'"),
        (train, "train", "mos_loss_opt", Mapping, "a mapping with a 'type'"),
        (train, "train", "metric_loss_opt", Mapping, "a mapping with a 'type'"),
        (top, "the configuration", "manual_seed", int, "a whole number"),
    ):
        _check_kind(options, title, key, kind, what)
    given = _score_table(data, "datasets: train")
    if data_sets.get("val") is not None:
        block = _section(data_sets["val"], "datasets: val", _DATA_SET)
        if block.get("augment"):
            raise ConfigError(
                "augment in datasets: val is not followed, as whole images are validated on: leave it out."
            )
        val = {**_score_table(block, "datasets: val"), "name": given["name"]}
        if val != given:  # else one table, whose splits say which rows are which
            _need(block, "meta_info_file", "datasets: val")
            given["validation"] = val
    losses = tuple(train[key] for key in ("mos_loss_opt", "metric_loss_opt") if train.get(key))
    recipe = Recipe(
        optim=_need(train, "optim", "train"),
        scheduler=train.get("scheduler"),
        losses=losses,
        batch_size=_need(data, "batch_size_per_gpu", "datasets: train"),
        epochs=_need(train, "total_epoch", "train"),
        hflip=bool(augment.get("hflip", False)),
        crop=augment.get("random_crop"),
        crops=cached.get("crops", 4),
    )
    return TrainConfig(str(top.get("name", "clipiqa+")), int(top.get("manual_seed") or 0), given, network, recipe)


def with_options(
    config: TrainConfig,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    crop: int | None = None,
    crops: int | None = None,
    seed: int | None = None,
    prompts: Any = None,
    n_ctx: int | None = None,
    shared: bool | None = None,
    init: str | None = None,
    **network: Any,
) -> TrainConfig:
    """A configuration with what a user says otherwise; None leaves it as it is.

    Args:
        config: to change.
        epochs: as in :class:`Recipe`; a cosine keeps its shape.
        batch_size, crops: as in :class:`Recipe`.
        lr: learning rate.
        crop: side in pixels of a random square crop; 0 trains on whole images.
        seed: as in :class:`TrainConfig`.
        prompts: words to learn around, as for :class:`clipiqa_pyiqa.CLIPIQA`.
        n_ctx, shared, init: of the context, see :class:`~clipiqa_pyiqa.prompts.learned.Context`.
        **network: other arguments of :class:`clipiqa_pyiqa.CLIPIQA`.
    """
    own = {"epochs": epochs, "batch_size": batch_size, "crops": crops, "seed": seed, "prompts": prompts, **network}
    changes: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    if crop is not None:
        changes["crop"] = crop or None
    if lr is not None:
        changes["optim"] = {**config.recipe.optim, "lr": lr}
    if epochs is not None and config.recipe.scheduler and "T_max" in config.recipe.scheduler:
        if not isinstance(epochs, int):
            raise ConfigError(f"epochs must be a whole number of at least 1, but is {shown(epochs)}.")
        if not _is_number(config.recipe.scheduler["T_max"]):
            raise ConfigError(f"T_max must be a number of epochs, but is {shown(config.recipe.scheduler['T_max'])}.")
        period = config.recipe.scheduler["T_max"] * epochs / config.recipe.epochs
        changes["scheduler"] = {**config.recipe.scheduler, "T_max": period}
    context = {"n_ctx": n_ctx, "shared": shared, "init": init}
    context = {name: value for name, value in context.items() if value is not None}
    if context:
        changes["context"] = {**(config.network.get("context") or {}), **context}
    return replaced(config, **changes)


def replaced(config: TrainConfig, **changes: Any) -> TrainConfig:
    """A configuration with some of its recipe's, network's or own fields changed."""
    recipe_fields = {field.name for field in dataclasses.fields(Recipe)}
    own_fields = {field.name for field in dataclasses.fields(TrainConfig)}
    recipe = {name: value for name, value in changes.items() if name in recipe_fields}
    own = {name: value for name, value in changes.items() if name in own_fields}
    network = {name: value for name, value in changes.items() if name not in recipe_fields | own_fields}
    return dataclasses.replace(
        config,
        recipe=dataclasses.replace(config.recipe, **recipe),
        network={**config.network, **network},
        **own,
    )


def _section(options: Any, title: str, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise ConfigError(f"{title} must be a mapping of names to values, but is {options!r:.80}.")
    check_keys(options, known, title)
    return options


def _score_table(data: Mapping[str, Any], title: str) -> dict[str, Any]:
    """A data set of pyiqa's as arguments of :func:`~clipiqa_pyiqa.datasets.score_table.read_score_table`."""
    for key, kind, what in (
        ("meta_info_file", str, "the path of a CSV file"),
        ("dataroot_target", str, "the path of a folder"),
        ("split_file", str, "the path of a file"),
        ("split_index", int | str, "a number, or the name of a column"),
    ):
        _check_kind(data, title, key, kind, what)
    reach, most = data.get("mos_range"), data.get("mos_max")
    if reach is None and most is not None:  # the former key of files with splits
        reach = [0, most]
    if reach is not None and not (isinstance(reach, list) and len(reach) == 2 and all(map(_is_number, reach))):
        raise ConfigError(f"mos_range must be two numbers, the lowest and the highest score, but is {reach!r:.80}.")
    split = data.get("split_index")
    files: dict[str, Any] = {}
    if data.get("split_file") is not None:  # pyiqa then takes split_index for a number in that file
        if isinstance(split, str):
            raise ConfigError(f"split_index in {title} must be a number in the split_file, but is {split!r}.")
        files, split = {"split_file": data["split_file"], "split_index": 1 if split is None else split}, None
    elif isinstance(split, int):
        split = f"ratio{data.get('split_ratio', '802')}_seed123_split_{split:02d}"
    return {
        "path": data.get("meta_info_file"),
        "root": data.get("dataroot_target"),
        "columns": (0, 1, split),
        "score_range": tuple(reach) if reach else None,
        "lower_better": bool(data.get("lower_better", False)),
        "name": data.get("name"),
        **files,
    }


def _check_kind(options: Mapping[str, Any], title: str, key: str, kind: Any, what: str) -> None:
    if options.get(key) is not None and not isinstance(options[key], kind):
        raise ConfigError(f"{key!r} in {title} must be {what}, but is {options[key]!r:.80}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _need(options: Mapping[str, Any], name: str, title: str) -> Any:
    if options.get(name) is None:
        raise ConfigError(f"{title} has no {name!r}.")
    return options[name]
