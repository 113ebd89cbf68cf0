"""Registration of our classes in pyiqa."""

import functools
import importlib
from typing import TYPE_CHECKING, Any

from pyiqa.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, Registry

from .machine import BUILTIN_VARIABLE, keeps_pyiqas_classes
from .text import log

if TYPE_CHECKING:
    from torch import nn

    from .family import FamilyMetric
    from .loss import CLIPIQALoss
    from .metric import CLIPIQA
    from .prompts.files import ModelType

NAME = "CLIPIQA"  # the class in pyiqa's configurations of clipiqa, clipiqa+, …
BUILTIN_MODULES = {  # pyiqa's class -> its module
    NAME: "pyiqa.archs.clipiqa_arch",
    "MACLIP": "pyiqa.archs.maclip_arch",
    "QualiCLIP": "pyiqa.archs.qualiclip_arch",
    "LIQE": "pyiqa.archs.liqe_arch",
    "LAIONAes": "pyiqa.archs.laion_aes_arch",
    "CLIPScore": "pyiqa.archs.clipscore_arch",
}


def register() -> None:
    """Register our classes as ``CLIPIQA``, ``LIQE``, …, and pyiqa's classes as ``CLIPIQA_builtin``, ….

    With ``CLIPIQA_PYIQA_BUILTIN=1``, all names keep pyiqa's classes.
    """
    for name in BUILTIN_MODULES:
        ARCH_REGISTRY.register(functools.partial(build_builtin, name), name=f"{name}_builtin", override=True)
    if keeps_pyiqas_classes():
        return
    ARCH_REGISTRY.register = _register
    for name in BUILTIN_MODULES:
        builder = build_clipiqa if name == NAME else functools.partial(build_member, name)
        ARCH_REGISTRY.register(builder, name=name, override=True)


def register_losses() -> None:
    LOSS_REGISTRY.register(build_loss, name="CLIPIQALoss", override=True)


def build_clipiqa(model_type: "ModelType" = "clipiqa", *args: Any, prompts: Any = None, **options: Any) -> "CLIPIQA":
    """Return our :class:`~clipiqa_pyiqa.CLIPIQA`; log what pyiqa says of it that is not true."""
    from .metric import CLIPIQA

    net = CLIPIQA(model_type, *args, prompts=prompts, **options)
    _warn_of_scale(net)
    if model_type == "clipiqa" and prompts is None and "mini" not in (options.get("backbone"), *args[:1]):
        _announce()
    return net


def _warn_of_scale(net: "CLIPIQA") -> None:
    """Log what pyiqa's wrapper says of a metric's direction or range that is not true."""
    from .prompts.pairs import COSINE_RANGE

    if net.lower_better:  # pyiqa's wrapper has the range and direction of its configuration
        log.warning(
            "clipiqa-pyiqa: low scores of this head are good, as metric.net.lower_better says; pyiqa's "
            "metric.lower_better does not know it."
        )
    if net.score_range == COSINE_RANGE:
        log.warning(
            "clipiqa-pyiqa: scores of a single text are cosines from -1 to 1, as metric.net.score_range says; pyiqa's "
            "metric.score_range does not know it."
        )


def build_member(kind: str, *args: Any, **options: Any) -> "FamilyMetric":
    """Return our class in place of one of pyiqa's other CLIP metrics."""
    from . import family

    classes: dict[str, type[FamilyMetric]] = vars(family)
    return classes[kind](*args, **options)


def build_loss(**options: Any) -> "CLIPIQALoss":
    """Return the loss that training configurations name ``CLIPIQALoss``."""
    from .loss import CLIPIQALoss

    return CLIPIQALoss(**options)


def build_builtin(kind: str, **options: Any) -> "nn.Module":
    """Return a metric of pyiqa's own class, for ``pyiqa.create_metric('clipiqa', type='CLIPIQA_builtin')``."""
    try:
        module = importlib.import_module(BUILTIN_MODULES[kind])
    except ImportError as error:
        raise ImportError(
            f"pyiqa's built-in {kind} cannot be imported ({error}): it needs openai's clip and pkg_resources; "
            "`pip install openai-clip 'setuptools<82'` installs both."
        ) from error
    network: nn.Module = getattr(module, kind)(**options)
    return network


@functools.wraps(Registry.register)
def _register(obj: Any = None, *args: Any, **kwargs: Any) -> Any:
    if obj is None:  # used as a decorator with options
        return lambda decorated: _register(decorated, *args, **kwargs)
    if getattr(obj, "__module__", None) in BUILTIN_MODULES.values() and not args and not kwargs:
        return obj  # pyiqa's module registers its class, but ours stays
    return Registry.register(ARCH_REGISTRY, obj, *args, **kwargs)


@functools.cache
def _announce() -> None:
    log.warning(  # a warning, since logging hides lower levels by default
        "clipiqa-pyiqa: 'clipiqa' is the paper's CLIP-IQA (one prompt pair), not pyiqa's average of five pairs; "
        f"for this average pass prompts='pyiqa', or set {BUILTIN_VARIABLE}=1 to keep pyiqa's own class."
    )
