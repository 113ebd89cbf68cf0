"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact, fast, and clear about which CLIP-IQA it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import CLIPIQAError, ImageError, PromptError, WeightsError
from .imports import install_moved_names, lazily
from .version import __version__

if TYPE_CHECKING:
    from .comparison import compare
    from .export import export_onnx
    from .figures import agreement, demo, pairs, radar, rank, sweep
    from .learning import fit, search_prompts, train
    from .loss import CLIPIQALoss
    from .maps import draw_maps
    from .methods import gate, table
    from .metric import CLIPIQA
    from .scoring import filter_shards, merge_shards, score_paths, score_sources
    from .weights.inventory import weights_at_hand

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
    "draw_maps",
    "export_onnx",
    "filter_shards",
    "fit",
    "gate",
    "is_active",
    "merge_shards",
    "pairs",
    "radar",
    "rank",
    "score_paths",
    "score_sources",
    "search_prompts",
    "sweep",
    "table",
    "train",
    "weights_at_hand",
]
if not TYPE_CHECKING:  # whom it would make believe in every name
    __getattr__, __dir__ = lazily(
        __name__,
        {  # what people call, imported when it is first asked for, so that this import does not wait for torch
            "compare": "comparison",
            "export_onnx": "export",
            **dict.fromkeys(("agreement", "demo", "pairs", "radar", "rank", "sweep"), "figures"),
            **dict.fromkeys(("fit", "search_prompts", "train"), "learning"),
            "CLIPIQALoss": "loss",
            "draw_maps": "maps",
            **dict.fromkeys(("gate", "table"), "methods"),
            "CLIPIQA": "metric",
            **dict.fromkeys(("filter_shards", "merge_shards", "score_paths", "score_sources"), "scoring"),
            "weights_at_hand": "weights.inventory",
        },
    )

install_moved_names()


def is_active() -> bool:
    """Whether ``pyiqa.create_metric('clipiqa')`` builds this package's class, asked of pyiqa's registry.

    False where the environment variable ``CLIPIQA_PYIQA_BUILTIN`` keeps pyiqa's own class, and where the package is not
    installed (only importable), so that pyiqa finds no entry point.
    """
    from pyiqa.utils.registry import ARCH_REGISTRY

    return "CLIPIQA" in ARCH_REGISTRY and ARCH_REGISTRY.get("CLIPIQA").__module__.startswith(f"{__name__}.")
