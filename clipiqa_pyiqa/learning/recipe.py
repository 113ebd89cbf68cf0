"""Recipes for training, by name or in a YAML file in the format of pyiqa's trainer.

The same file runs under pyiqa's trainer, which ignores the block ``cached``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, OptionError, nearest, shown
from ..errors.arguments import checked
from ..files.yaml import check_keys, read_yaml
from ..metric import CLIPIQA

Read = TypeVar("Read")


@dataclass(frozen=True)
class Recipe:
    """How the context is fitted. Optimizer, scheduler and losses are torch's and pyiqa's, by name.

    Attributes:
        optim: ``type``, a class of ``torch.optim``, and its options.
        scheduler: ``type``, a class of ``torch.optim.lr_scheduler``, and its options, in epochs; None keeps the rate.
        losses: Each a ``type`` of pyiqa's losses and its options; their sum is minimised.
        batch_size: Images per step.
        epochs: Passes over the training images; an incomplete last batch is left out, as pyiqa does.
        hflip: Whether each image is flipped at random.
        crop: Side in pixels of a random square crop; None trains on whole images.
        crops: How many seeded crops of each image stand in for random ones when features are cached.
    """

    optim: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    losses: tuple[Mapping[str, Any], ...]
    batch_size: int
    epochs: int
    hflip: bool = True
    crop: int | None = None
    crops: int = 4


@dataclass(frozen=True)
class TrainConfig:
    """Everything a training run depends on but the images.

    Attributes:
        name: The run's.
        seed: Of shuffling, flips, crops, a random context, and the split where the data set has none.
        data: Arguments of :func:`clipiqa_pyiqa.datasets.score_table.read_score_table`.
        network: Arguments of :class:`clipiqa_pyiqa.CLIPIQA`.
        recipe: How to fit.
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
PLAIN = replace(
    # ours: pyiqa's optimiser and losses on whole images, so that features are exact, and CLIP-IQA's own embedding
    PYIQA,
    name="plain",
    network={**PYIQA.network, "pos_embedding": False},
    recipe=replace(PYIQA.recipe, crop=None),
)
RECIPES = {"plain": PLAIN, "official": OFFICIAL, "pyiqa": PYIQA}


def find_recipe(recipe: TrainConfig | str | Path) -> TrainConfig:
    """Return the configuration of a recipe's name or in a YAML file; a name with a suffix is a file.

    Raises:
        ConfigError: There is no such recipe, or the file cannot be used.
    """
    if isinstance(recipe, TrainConfig):
        return recipe
    if isinstance(recipe, Path) or Path(recipe).suffix:
        return read_recipe(recipe)
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}: {nearest(recipe, RECIPES)}")
    return RECIPES[recipe]


def read_recipe(path: str | Path) -> TrainConfig:
    """Read a YAML file in the format of pyiqa's trainer.

    Raises:
        ConfigError: The file cannot be read, has unknown keys, or lacks a key.
    """
    options = read_yaml(path)
    try:
        return parse_config(options)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(options: Any) -> TrainConfig:
    """Return the configuration in a mapping as pyiqa's trainer reads it from YAML."""
    ignored = ("model_type", "num_gpu", "path", "val", "logger", "dist_params", "find_unused_parameters")
    return _read(_config, options, "the configuration", ignored)


def with_options(config: TrainConfig, **changes: Any) -> TrainConfig:
    """Return a configuration with some options changed; None leaves an option as it is.

    Args:
        config: To change.
        **changes: ``epochs``, ``batch_size``, ``crops`` and ``crop`` as in :class:`Recipe`, where an ``epochs`` keeps
            the shape of a cosine and a ``crop`` of 0 trains on whole images; ``lr``, the learning rate; ``seed``;
            ``n_ctx``, ``shared`` and ``init`` of the context, see :class:`~clipiqa_pyiqa.prompts.learned.Context`; and
            other arguments of :class:`clipiqa_pyiqa.CLIPIQA`, such as ``prompts``.

    Raises:
        OptionError: A value is of a wrong kind or out of bounds.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    old = config.recipe
    if "lr" in changes:
        changes["optim"] = {**old.optim, "lr": changes.pop("lr")}
    recipe = checked(Recipe)(**{name: changes.pop(name, value) for name, value in vars(old).items()})
    schedule = recipe.scheduler or {}
    if recipe.epochs != old.epochs and isinstance(schedule.get("T_max"), int | float):
        recipe = replace(recipe, scheduler={**schedule, "T_max": schedule["T_max"] * recipe.epochs / old.epochs})
    if context := {name: changes.pop(name) for name in ("n_ctx", "shared", "init") if name in changes}:
        changes["context"] = {**(config.network.get("context") or {}), **context}
    seed, recipe = changes.pop("seed", config.seed), replace(recipe, crop=recipe.crop or None)
    return checked(TrainConfig)(config.name, seed, config.data, {**config.network, **changes}, recipe)


def _config(
    datasets: Mapping[str, Any],
    network: Mapping[str, Any],
    train: Mapping[str, Any],
    name: str = "clipiqa+",
    manual_seed: int = 0,
    cached: Mapping[str, Any] | None = None,
) -> TrainConfig:
    check_keys(network, ("type", *signature(CLIPIQA).parameters), "network")
    check_keys(cached or {}, ("crops",), "cached")
    data, images = _read(_data_sets, datasets, "datasets")
    options = {**_read(_schedule, train, "train"), **images, **(cached or {})}
    network = {option: value for option, value in network.items() if option != "type"}
    try:
        return checked(TrainConfig)(name, manual_seed, data, network, checked(Recipe)(**options))
    except OptionError as error:
        raise ConfigError(str(error)) from error


def _data_sets(train: Mapping[str, Any], val: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arguments of ``read_score_table`` and the recipe's of images."""
    data, images = _read(_data_set, train, "datasets: train", _OF_PYIQA)
    if val is not None:
        if val.get("augment"):
            raise ConfigError("augment in datasets: val is not followed, whole images are validated on: leave it out.")
        validation = {**_read(_data_set, val, "datasets: val", _OF_PYIQA)[0], "name": data["name"]}
        if validation != data:  # else one table, whose splits say which rows are which
            if validation["path"] is None:
                raise ConfigError("datasets: val has no 'meta_info_file'.")
            data["validation"] = validation
    return data, images


_OF_PYIQA = (  # keys of a data set that only pyiqa's trainer needs
    *("type", "mos_normalize", "img_range", "use_shuffle", "num_worker_per_gpu", "dataset_enlarge_ratio"),
    *("prefetch_mode", "phase"),
)


def _data_set(
    meta_info_file: str | None = None,
    dataroot_target: str | None = None,
    name: str | None = None,
    split_file: str | None = None,
    split_index: int | str | None = None,
    split_ratio: int | str = "802",
    mos_range: Sequence[float] | None = None,
    mos_max: float | None = None,
    lower_better: bool = False,
    batch_size_per_gpu: int | None = None,
    augment: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    if mos_range is None and mos_max is not None:  # as files with a split_file have it
        mos_range = [0, mos_max]
    if mos_range is not None and [type(end) in (int, float) for end in mos_range] != [True, True]:
        raise ConfigError(f"mos_range must be two numbers, the lowest and the highest score; got {shown(mos_range)}.")
    files: dict[str, Any] = {}
    if split_file is not None:  # pyiqa then takes split_index for a number in that file
        if isinstance(split_index, str):
            raise ConfigError(f"split_index must be a number in the split_file; got {split_index!r}.")
        files = {"split_file": split_file, "split_index": 1 if split_index is None else split_index}
        split_index = None
    elif isinstance(split_index, int):
        split_index = f"ratio{split_ratio}_seed123_split_{split_index:02d}"
    table = {
        "path": meta_info_file,
        "root": dataroot_target,
        "columns": (0, 1, split_index),
        "score_range": tuple(mos_range) if mos_range else None,
        "lower_better": lower_better,
        "name": name,
        **files,
    }
    return table, {"batch_size": batch_size_per_gpu, **_read(_augment, augment or {}, "augment")}


def _augment(hflip: bool = False, random_crop: int | None = None) -> dict[str, Any]:
    return {"hflip": hflip, "crop": random_crop or None}


def _schedule(
    optim: Mapping[str, Any],
    total_epoch: int,
    scheduler: Mapping[str, Any] | None = None,
    mos_loss_opt: Mapping[str, Any] | None = None,
    metric_loss_opt: Mapping[str, Any] | None = None,
    warmup_iter: int = -1,
) -> dict[str, Any]:
    if warmup_iter > 0:
        raise ConfigError("warmup_iter is not supported: leave it out or set it to -1.")
    losses = tuple(loss for loss in (mos_loss_opt, metric_loss_opt) if loss)
    return {"optim": optim, "scheduler": scheduler, "losses": losses, "epochs": total_epoch}


def _read(block: Callable[..., Read], options: Any, where: str, ignored: Sequence[str] = ()) -> Read:
    """Call a function with a block's keys, once their names and kinds are checked; null stands for the default."""
    known = signature(block).parameters
    if not isinstance(options, Mapping):
        raise ConfigError(f"{where} must be a mapping of names to values; got {shown(options)}.")
    check_keys(options, [*known, *ignored], where)
    given = {name: value for name, value in options.items() if name in known and value is not None}
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            raise ConfigError(f"{where} has no {name!r}.")
    try:
        return checked(block)(**given)
    except OptionError as error:
        raise ConfigError(f"{where}: {error}") from error
