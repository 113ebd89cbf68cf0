"""What pyiqa builds under our names: all that touches its registries.

pyiqa ships a class of its own under the same name, which registers itself when its module is imported: early, late, or
never, since it needs openai's ``clip``, which a fresh installation cannot import. Nothing here imports it: ours takes
the name, and a registration of the built-in that comes later leaves ours in place.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyiqa.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY

if TYPE_CHECKING:
    from torch import nn

    from .loss import CLIPIQALoss
    from .metric import CLIPIQA, ModelType

NAME = "CLIPIQA"  # what pyiqa's configurations of clipiqa, clipiqa+, … ask for
LOSS_NAME = "CLIPIQALoss"
BUILTIN_MODULES = {  # pyiqa's class -> its module
    NAME: "pyiqa.archs.clipiqa_arch",
    "MACLIP": "pyiqa.archs.maclip_arch",
    "QualiCLIP": "pyiqa.archs.qualiclip_arch",
    "LIQE": "pyiqa.archs.liqe_arch",
    "LAIONAes": "pyiqa.archs.laion_aes_arch",
    "CLIPScore": "pyiqa.archs.clipscore_arch",
}
BUILTIN_VARIABLE = "CLIPIQA_PYIQA_BUILTIN"

logger = logging.getLogger("clipiqa_pyiqa")


def register() -> None:
    """Make pyiqa build our classes as ``CLIPIQA``, ``LIQE``, …, and keep its own as ``CLIPIQA_builtin``, ….

    pyiqa calls this once, when its registry is first used. With the environment variable ``CLIPIQA_PYIQA_BUILTIN`` set
    (to anything but ``0`` or nothing), the names stay pyiqa's.
    """
    for name in BUILTIN_MODULES:
        ARCH_REGISTRY.register(functools.partial(build_builtin, name), name=f"{name}_builtin", override=True)
    if os.environ.get(BUILTIN_VARIABLE, "0") not in ("", "0"):
        return
    ARCH_REGISTRY.register = _keeping_ours(ARCH_REGISTRY.register)
    for name in BUILTIN_MODULES:
        build = build_clipiqa if name == NAME else functools.partial(build_member, name)
        ARCH_REGISTRY.register(build, name=name, override=True)


def register_losses() -> None:
    """Make ``pyiqa.losses.build_loss({'type': 'CLIPIQALoss', …})`` build ours. pyiqa calls it as :func:`register`."""
    LOSS_REGISTRY.register(build_loss, name=LOSS_NAME, override=True)


def build_clipiqa(model_type: ModelType = "clipiqa", *args: Any, prompts: Any = None, **options: Any) -> CLIPIQA:
    """Build our :class:`~clipiqa_pyiqa.CLIPIQA`, as pyiqa does for ``clipiqa`` and ``clipiqa+``.

    It stands in the registry for the class, so that pyiqa's other metrics need not wait for our imports. The first
    plain ``clipiqa`` of a process is announced, since it does not mean what it means in pyiqa alone; with
    ``backbone='mini'`` it is not the paper's either.
    """
    from .metric import CLIPIQA

    net = CLIPIQA(model_type, *args, prompts=prompts, **options)
    if model_type == "clipiqa" and prompts is None and "mini" not in (options.get("backbone"), *args[:1]):
        _announce()
    return net


def build_loss(*args: Any, **options: Any) -> CLIPIQALoss:
    """Build our :class:`~clipiqa_pyiqa.CLIPIQALoss`; it stands in the registry for the class, to be imported late."""
    from .loss import CLIPIQALoss

    return CLIPIQALoss(*args, **options)


def build_member(kind: str, *args: Any, **options: Any) -> nn.Module:
    """Build our class of the family that stands for pyiqa's class ``kind``."""
    from . import family

    return getattr(family, kind)(*args, **options)


def build_builtin(kind: str = NAME, **options: Any) -> nn.Module:
    """Build pyiqa's own class, for comparison: ``pyiqa.create_metric('clipiqa', type='CLIPIQA_builtin')``.

    To fine-tune a tower under pyiqa's trainer needs pyiqa's own class, too.

    Raises:
        ImportError: where it cannot be imported, with the reason.
    """
    try:
        return getattr(importlib.import_module(BUILTIN_MODULES[kind]), kind)(**options)
    except ImportError as error:
        raise ImportError(
            f"pyiqa's built-in {kind} cannot be imported here ({error}): it needs openai's clip, which needs "
            "pkg_resources; `pip install openai-clip 'setuptools<82'` brings both."
        ) from error


def _keeping_ours(register: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the registry's ``register`` so that importing the built-in's module neither fails nor replaces ours."""

    @functools.wraps(register)
    def wrapped(obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        if obj is None:  # called with options, to be used as a decorator
            return lambda decorated: wrapped(decorated, *args, **kwargs)
        if getattr(obj, "__module__", None) in BUILTIN_MODULES.values() and not args and not kwargs:
            return obj
        return register(obj, *args, **kwargs)

    return wrapped


@functools.cache
def _announce() -> None:
    """Say once per process which CLIP-IQA this is; a warning, since logging shows nothing below it by default."""
    logger.warning(
        "clipiqa-pyiqa: 'clipiqa' is now the paper's CLIP-IQA (one prompt pair), not pyiqa's average of five; "
        "for that one pass prompts='pyiqa', or set %s=1 to keep pyiqa's own class.",
        BUILTIN_VARIABLE,
    )
