"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact and fast.

Every function raises :class:`CLIPIQAError`, a ``ValueError``, if an argument, a file or an image cannot be used.
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .errors import CLIPIQAError, ImageError, OptionError, PromptError, WeightsError
from .version import __version__

if TYPE_CHECKING:
    from .loss import CLIPIQALoss
    from .metric import CLIPIQA
    from .onnx_export import export_onnx
    from .prompts.files import save_prompt_file
    from .reward import CLIPIQAReward
    from .weights.at_hand import weights_at_hand
    from .workbench.compare.compare import compare
    from .workbench.experiments.attribute_sweep import sweep
    from .workbench.experiments.demonstration import demo
    from .workbench.experiments.image_pairs import pairs
    from .workbench.experiments.radar_chart import radar
    from .workbench.experiments.user_agreement import agreement
    from .workbench.experiments.user_study import make_pairs
    from .workbench.gate.gating import gate
    from .workbench.images.image import Image, read_image
    from .workbench.learning.fit import fit
    from .workbench.learning.gaming import GamingAlarm
    from .workbench.learning.train import train
    from .workbench.maps.photos import draw_maps
    from .workbench.maps.places import quality_map
    from .workbench.rank.ranking import rank
    from .workbench.ray_data import score_on_ray
    from .workbench.results.score_files import read_scores
    from .workbench.scoring.score import score_paths
    from .workbench.scoring.score_images import score_images
    from .workbench.scoring.scorer import Scorer
    from .workbench.sources.shards import Shard
    from .workbench.table.run import table

__all__ = [
    "CLIPIQA",
    "CLIPIQAError",
    "CLIPIQALoss",
    "CLIPIQAReward",
    "GamingAlarm",
    "Image",
    "ImageError",
    "OptionError",
    "PromptError",
    "Scorer",
    "Shard",
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
    "make_pairs",
    "pairs",
    "quality_map",
    "radar",
    "rank",
    "read_image",
    "read_scores",
    "save_prompt_file",
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
    "GamingAlarm": "workbench.learning.gaming",
    "Image": "workbench.images.image",
    "Scorer": "workbench.scoring.scorer",
    "Shard": "workbench.sources.shards",
    "agreement": "workbench.experiments.user_agreement",
    "compare": "workbench.compare.compare",
    "demo": "workbench.experiments.demonstration",
    "draw_maps": "workbench.maps.photos",
    "export_onnx": "onnx_export",
    "fit": "workbench.learning.fit",
    "gate": "workbench.gate.gating",
    "make_pairs": "workbench.experiments.user_study",
    "pairs": "workbench.experiments.image_pairs",
    "quality_map": "workbench.maps.places",
    "radar": "workbench.experiments.radar_chart",
    "rank": "workbench.rank.ranking",
    "read_image": "workbench.images.image",
    "read_scores": "workbench.results.score_files",
    "save_prompt_file": "prompts.files",
    "score_images": "workbench.scoring.score_images",
    "score_on_ray": "workbench.ray_data",
    "score_paths": "workbench.scoring.score",
    "sweep": "workbench.experiments.attribute_sweep",
    "table": "workbench.table.run",
    "train": "workbench.learning.train",
    "weights_at_hand": "weights.at_hand",
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

    The answer is False if ``CLIPIQA_PYIQA_BUILTIN`` is set to 1, if the package is importable but not installed, or if
    pyiqa is not installed.
    """
    if find_spec("pyiqa") is None:
        return False
    from pyiqa.utils.registry import ARCH_REGISTRY

    return "CLIPIQA" in ARCH_REGISTRY and ARCH_REGISTRY.get("CLIPIQA").__module__.startswith(f"{__name__}.")
