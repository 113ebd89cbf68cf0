"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact, fast, and clear about which CLIP-IQA it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import moved
from .errors import CLIPIQAError, ImageError, PromptError, WeightsError

if TYPE_CHECKING:
    from .loss import CLIPIQALoss
    from .metric import CLIPIQA

from .version import __version__

moved.install()
__all__ = [
    "CLIPIQA",
    "CLIPIQAError",
    "CLIPIQALoss",
    "ImageError",
    "PromptError",
    "WeightsError",
    "__version__",
    "is_active",
]


def is_active() -> bool:
    """Whether ``pyiqa.create_metric('clipiqa')`` builds this package's class, asked of pyiqa's registry.

    False where the environment variable ``CLIPIQA_PYIQA_BUILTIN`` keeps pyiqa's own class, and where the package is not
    installed (only importable), so that pyiqa finds no entry point.
    """
    from . import plugin

    return plugin.is_active()


def __getattr__(name: str) -> Any:
    if name == "CLIPIQA":  # imports torch, which `import clipiqa_pyiqa` need not wait for
        from .metric import CLIPIQA

        return CLIPIQA
    if name == "CLIPIQALoss":
        from .loss import CLIPIQALoss

        return CLIPIQALoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
