"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact and fast.

Every function raises :class:`CLIPIQAError`, a ``ValueError``, if an argument, a file or an image cannot be used.
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .errors import CLIPIQAError, ImageError, OptionError, PromptError, WeightsError

if TYPE_CHECKING:
    from .comparison.compare import compare
    from .comparison.gating import gate
    from .comparison.table.run import table
    from .experiments.attribute_sweep import sweep
    from .experiments.demonstration import demo
    from .experiments.image_pairs import pairs
    from .experiments.radar_chart import radar
    from .experiments.user_agreement import agreement
    from .export.onnx_file import export_onnx
    from .gaming import GamingAlarm
    from .learning.fitting import fit
    from .learning.training import train
    from .loss import CLIPIQALoss
    from .maps.photos import draw_maps
    from .metric import CLIPIQA
    from .ranking.folder_ranking import rank
    from .ray_data import score_on_ray
    from .reward import CLIPIQAReward
    from .scoring.score import Scorer, score_images, score_paths
    from .weights.published import weights_at_hand

__version__ = "0.1.0"

__all__ = [
    "CLIPIQA",
    "CLIPIQAError",
    "CLIPIQALoss",
    "CLIPIQAReward",
    "GamingAlarm",
    "ImageError",
    "OptionError",
    "PromptError",
    "Scorer",
    "WeightsError",
    "__version__",
    "agreement",
    "compare",
    "demo",
    "draw_maps",
    "export_onnx",
    "fit",
    "gate",
    "is_active",
    "pairs",
    "radar",
    "rank",
    "score_images",
    "score_on_ray",
    "score_paths",
    "sweep",
    "table",
    "train",
    "weights_at_hand",
]

_MODULES = {  # each is imported at its first use, since importing torch takes long
    "CLIPIQA": "metric",
    "CLIPIQALoss": "loss",
    "CLIPIQAReward": "reward",
    "GamingAlarm": "gaming",
    "Scorer": "scoring.score",
    "agreement": "experiments.user_agreement",
    "compare": "comparison.compare",
    "demo": "experiments.demonstration",
    "draw_maps": "maps.photos",
    "export_onnx": "export.onnx_file",
    "fit": "learning.fitting",
    "gate": "comparison.gating",
    "pairs": "experiments.image_pairs",
    "radar": "experiments.radar_chart",
    "rank": "ranking.folder_ranking",
    "score_images": "scoring.score",
    "score_on_ray": "ray_data",
    "score_paths": "scoring.score",
    "sweep": "experiments.attribute_sweep",
    "table": "comparison.table.run",
    "train": "learning.training",
    "weights_at_hand": "weights.published",
}
if not TYPE_CHECKING:  # keeps type checkers from accepting unknown attributes

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return list(__all__)


def is_active() -> bool:
    """Return whether ``pyiqa.create_metric('clipiqa')`` builds this package's class.

    The answer is False if ``CLIPIQA_PYIQA_BUILTIN`` is set, if the package is importable but not installed, or if
    pyiqa is not installed.
    """
    if find_spec("pyiqa") is None:
        return False
    from pyiqa.utils.registry import ARCH_REGISTRY

    return "CLIPIQA" in ARCH_REGISTRY and ARCH_REGISTRY.get("CLIPIQA").__module__.startswith(f"{__name__}.")
