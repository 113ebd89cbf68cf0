"""Recipes for training, by name or in YAML files of pyiqa's trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, OptionError, nearest, shown
from ..errors.arguments import checked
from ..files.yaml import check_keys, read_yaml, shipped
from ..metric import CLIPIQA

Result = TypeVar("Result")
RECIPES = ("plain", "official", "pyiqa")
# keys that only pyiqa's trainer needs, at the top and in a data set
_TOP_KEYS = ("name", "model_type", "num_gpu", "path", "val", "logger", "dist_params", "find_unused_parameters")
_DATA_SET_KEYS = (
    *("type", "mos_normalize", "img_range", "use_shuffle", "num_worker_per_gpu", "dataset_enlarge_ratio"),
    *("prefetch_mode", "phase"),
)


@dataclass(frozen=True)
class Recipe:
    """Options of training.

    Attributes:
        optim, scheduler: ``type`` (a torch class) and options of this class; a scheduler counts epochs.
        losses: ``type`` (a loss of pyiqa) and options of each loss; training minimises the sum.
        batch_size: Images per step; an incomplete batch is left out.
        epochs: Passes over the images.
        hflip: Mirror images at random.
        crop: Side of random square crops in pixels; None means whole images.
        crops: Number of seeded crops per image.
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
    """A recipe, its seed, and arguments of ``read_score_table`` (data) and ``CLIPIQA`` (network)."""

    seed: int
    data: Mapping[str, Any]
    network: Mapping[str, Any]
    recipe: Recipe


def find_recipe(recipe: TrainConfig | str | Path) -> TrainConfig:
    """Return the configuration of a named recipe, or of a YAML file (a name with a suffix)."""
    if isinstance(recipe, TrainConfig):
        return recipe
    if isinstance(recipe, Path) or Path(recipe).suffix:
        return read_recipe(recipe)
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}: {nearest(recipe, RECIPES)}")
    config = replace(read_recipe(shipped()["pyiqa" if recipe == "plain" else recipe]), data={})
    if recipe != "plain":
        return config
    # whole images give exact features; CLIP-IQA has no positional embedding
    network = {**config.network, "pos_embedding": False}
    return replace(config, network=network, recipe=replace(config.recipe, crop=None))


def read_recipe(path: str | Path) -> TrainConfig:
    """Return the configuration in a YAML file of pyiqa's trainer."""
    options = read_yaml(path, unique=False)  # pyiqa's own file has a key twice
    try:
        return _read(_config, options, "the configuration", _TOP_KEYS)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def with_options(config: TrainConfig, **changes: Any) -> TrainConfig:
    """Return a configuration with changed options; None changes nothing.

    Args:
        config: The configuration.
        **changes: Attributes of :class:`Recipe` (``epochs`` stretches a cosine schedule; ``crop`` 0 means whole
            images), ``lr``, ``seed``, or arguments of ``Context`` and :class:`clipiqa_pyiqa.CLIPIQA`.

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
    return checked(TrainConfig)(seed, config.data, {**config.network, **changes}, recipe)


def _config(
    datasets: Mapping[str, Any], network: Mapping[str, Any], train: Mapping[str, Any], manual_seed: int = 0
) -> TrainConfig:
    check_keys(network, ("type", *signature(CLIPIQA).parameters), "network")
    data, images = _read(_data_sets, datasets, "datasets")
    recipe = checked(Recipe)(**_read(_schedule, train, "train", ("total_iter",)), **images)
    network = {option: value for option, value in network.items() if option != "type"}
    return TrainConfig(manual_seed, data, network, recipe)


def _data_sets(train: Mapping[str, Any], val: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    table, images = _read(_data_set, train, "datasets: train", _DATA_SET_KEYS)
    if val is not None:
        validation, _ = _read(_data_set, val, "datasets: val", _DATA_SET_KEYS)
        if {**validation, "name": table["name"]} != table or val.get("augment"):
            raise ConfigError(
                "datasets: val must have the options of datasets: train, without augment: choose the "
                "images to validate on by a column of splits or a split_file."
            )
    return table, images  # arguments of read_score_table and of Recipe


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
    if mos_range is None and mos_max is not None:  # configurations with a split_file give mos_max
        mos_range = [0, mos_max]
    if mos_range is not None and [type(end) in (int, float) for end in mos_range] != [True, True]:
        raise ConfigError(f"mos_range must be two numbers, the lowest and the highest score; got {shown(mos_range)}.")
    column, splits = split_index, {}
    if split_file is not None:  # split_index is then a number in that file, as in pyiqa
        if isinstance(split_index, str):
            raise ConfigError(f"split_index must be a number in the split_file; got {split_index!r}.")
        column, splits = None, {"split_file": split_file, "split_index": 1 if split_index is None else split_index}
    elif isinstance(split_index, int):
        column = f"ratio{split_ratio}_seed123_split_{split_index:02d}"
    check_keys(augment or {}, ("hflip", "random_crop"), "augment")
    views = {"hflip": False, "random_crop": None, **(augment or {})}
    table = {"path": meta_info_file, "root": dataroot_target, "columns": (0, 1, column), "name": name, **splits}
    table |= {"score_range": tuple(mos_range) if mos_range else None, "lower_better": lower_better}
    return table, {"batch_size": batch_size_per_gpu, "hflip": views["hflip"], "crop": views["random_crop"] or None}


def _schedule(
    optim: Mapping[str, Any],
    total_epoch: int,
    scheduler: Mapping[str, Any] | None = None,
    mos_loss_opt: Mapping[str, Any] | None = None,
    metric_loss_opt: Mapping[str, Any] | None = None,
    warmup_iter: int = -1,
) -> dict[str, Any]:
    if warmup_iter > 0:
        raise ConfigError("warmup_iter must be -1: a warm-up is not supported.")
    losses = tuple(loss for loss in (mos_loss_opt, metric_loss_opt) if loss)
    return {"optim": optim, "scheduler": scheduler, "losses": losses, "epochs": total_epoch}


def _read(block: Callable[..., Result], options: Any, where: str, ignored: Sequence[str] = ()) -> Result:
    if not isinstance(options, Mapping):
        raise ConfigError(f"{where} must be a mapping of names to values; got {shown(options)}.")
    known = signature(block).parameters
    check_keys(options, [*known, *ignored], where)
    given = {name: value for name, value in options.items() if name in known and value is not None}
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in given:
            raise ConfigError(f"{where} has no {name!r}.")
    try:
        return checked(block)(**given)
    except OptionError as error:
        raise ConfigError(f"{where}: {error}") from error
