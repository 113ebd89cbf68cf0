"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact, fast, and clear about which CLIP-IQA it is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import moved
from .errors import CLIPIQAError, ImageError, PromptError, WeightsError
from .version import __version__

if TYPE_CHECKING:
    from .comparison import compare
    from .figures import agreement, demo, pairs, radar, rank, sweep
    from .learning import fit, search_prompts, train
    from .loss import CLIPIQALoss
    from .methods import gate, table
    from .metric import CLIPIQA
    from .scoring import score_paths

_LATE = {  # what people call -> its module, imported when first asked for, so that this import does not wait for torch
    **{"CLIPIQA": "metric", "CLIPIQALoss": "loss", "score_paths": "scoring", "compare": "comparison"},
    **dict.fromkeys(("agreement", "demo", "pairs", "radar", "rank", "sweep"), "figures"),
    **dict.fromkeys(("fit", "search_prompts", "train"), "learning"),
    **dict.fromkeys(("gate", "table"), "methods"),
}
__all__ = [
    "CLIPIQA",
    "CLIPIQAError",
    "CLIPIQALoss",
    "ImageError",
    "PromptError",
    "WeightsError",
    "__version__",
    "agreement",
    "compare",
    "demo",
    "fit",
    "gate",
    "is_active",
    "pairs",
    "radar",
    "rank",
    "score_paths",
    "search_prompts",
    "sweep",
    "table",
    "train",
]

moved.install()


def is_active() -> bool:
    """Whether ``pyiqa.create_metric('clipiqa')`` builds this package's class, asked of pyiqa's registry.

    False where the environment variable ``CLIPIQA_PYIQA_BUILTIN`` keeps pyiqa's own class, and where the package is not
    installed (only importable), so that pyiqa finds no entry point.
    """
    from pyiqa.utils.registry import ARCH_REGISTRY

    return "CLIPIQA" in ARCH_REGISTRY and ARCH_REGISTRY.get("CLIPIQA").__module__.startswith(f"{__name__}.")


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
