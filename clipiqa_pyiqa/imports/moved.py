"""Old names of modules, which still import for one release, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

_ROOT = __package__.partition(".")[0]
_MOVED = {
    "background": "images.batches",
    "clip.architecture": "weights.architecture",
    "clip.checkpoint": "weights.checkpoint",
    "clip.download": "weights.download",
    "clip.files": "files.writing",
    "clip.hashes": "files.hashes",
    "clip.published": "weights.published",
    "clip.torchscript": "weights.torchscript",
    "clip.weights": "weights.selection",
    "evaluate.agreement": "figures.user_study",
    "evaluate.changes": "figures.changes",
    "evaluate.compare": "comparison.run",
    "evaluate.comparison": "comparison.results",
    "evaluate.contact_sheet": "report.contact_sheet",
    "evaluate.correlation": "stats.correlation",
    "evaluate.datasets": "comparison.datasets",
    "evaluate.demo": "figures.demonstration",
    "evaluate.disagreement": "comparison.disagreement",
    "evaluate.html_page": "report.html",
    "evaluate.metrics": "comparison.metrics",
    "evaluate.outcome": "files.names",
    "evaluate.pairs": "figures.image_pairs",
    "evaluate.pictures": "comparison.report.pictures",
    "evaluate.pipeline": "comparison.pipeline",
    "evaluate.proportions": "stats.proportions",
    "evaluate.published": "comparison.published",
    "evaluate.radar": "figures.radar_charts",
    "evaluate.radar_page": "figures.radar_page",
    "evaluate.rank": "figures.ranking",
    "evaluate.report": "comparison.report.page",
    "evaluate.requests": "comparison.specification",
    "evaluate.score_store": "comparison.score_store",
    "evaluate.scorers": "comparison.scorers",
    "evaluate.scores": "figures.scores",
    "evaluate.summary": "comparison.report.summary",
    "evaluate.sweep": "figures.attribute_sweep",
    "evaluate.sweep_pictures": "figures.sweep_pictures",
    "evaluate.tables": "comparison.report.tables",
    "evaluate.team": "comparison.distributed",
    "evaluate.votes": "figures.votes",
    "features": "learning.feature_store",
    "prompt_files": "prompts.files",
    "prompt_learning": "prompts.learned",
    "prompt_search": "learning.word_search",
    "prompt_words": "learning.words",
    "result_files": "scoring.result_files",
    "results": "scoring.rows",
    "score_table": "opinions.score_table",
    "train_config": "learning.recipe",
    "training": "learning.trainer",
    "training_features": "learning.views",
    "verify": "verification.scores",
    "verify_plus": "verification.learned_prompts",
}
_OF_EVALUATE = {  # what the package itself exported
    **dict.fromkeys(("Comparison", "DataSetResult", "MetricResult"), "comparison.results"),
    **dict.fromkeys(("Estimate", "correlations"), "stats"),
}


class _MovedModules:
    """Finds old names behind everything that exists, and hands out the modules as they are now.

    No subclass of ``importlib.abc``'s finder and loader, whose import takes as long as all of this package's.
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        name = fullname.removeprefix(f"{_ROOT}.")
        if name == fullname or (name != "evaluate" and name not in _MOVED):
            return None
        return ModuleSpec(fullname, cast("Loader", self), is_package=name == "evaluate")

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = spec.name.removeprefix(f"{_ROOT}.")
        if name == "evaluate":
            module = ModuleType(spec.name, "Deprecated: see comparison, figures, stats and report.")
            module.__getattr__ = _of_evaluate  # type: ignore[method-assign]
            return module
        module = _import(spec.name, _MOVED[name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is: it has run, and keeps the name that it has now."""
        if module.__spec__ is not None and module.__spec__.loader_state is not None:
            module.__spec__ = module.__spec__.loader_state


def _import(old: str, new: str) -> ModuleType:
    warnings.warn(
        f"{old} is now in {_ROOT}.{new}; the old name goes with the next release.", DeprecationWarning, stacklevel=3
    )
    return importlib.import_module(f"{_ROOT}.{new}")


def _of_evaluate(name: str) -> Any:
    if name in _OF_EVALUATE:
        return getattr(_import(f"{_ROOT}.evaluate.{name}", _OF_EVALUATE[name]), name)
    raise AttributeError(f"module '{_ROOT}.evaluate' has no attribute {name!r}")


def install_moved_names() -> None:
    """Let Python's import find the old names."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
