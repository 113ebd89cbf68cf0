"""Options of the commands that learn from human scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ...errors.arguments import Machine
from .progress import note

if TYPE_CHECKING:
    from ...datasets.score_table import ScoreTable


@dataclass(frozen=True)
class Scored:
    """Scores.

    Args:
        root (DIR): folder of the images; default: the CSV file's
        data_root (DIR): folder of pyiqa's data sets
        columns: columns of paths, scores and, if the file has splits, splits
        range (LOW HIGH): lowest and highest possible score
        lower_better: low scores are good
        val_fraction: share of images to hold out if there is no split column; default: 0.2
        skip_missing: leave out missing images
    """

    root: str | None = None
    data_root: str = "datasets"
    columns: list[str] | None = None
    range: tuple[float, float] | None = None
    lower_better: bool = False
    val_fraction: float | None = None
    skip_missing: bool = False

    def table(self, scores: str, seed: int, **more: Any) -> ScoreTable:
        from ...datasets.score_table import find_score_table

        if self.columns is not None and len(self.columns) not in (2, 3):
            raise OptionError(f"columns must be two or three names; got {len(self.columns)}.")
        given: dict[str, Any] = {
            "root": self.root,
            "score_range": tuple(self.range) if self.range else None,
            "lower_better": self.lower_better or None,
            "val_fraction": self.val_fraction,
            "columns": (*self.columns, None)[:3] if self.columns else None,
        }
        options = {**more, **{name: value for name, value in given.items() if value is not None}}
        options |= {"skip_missing": self.skip_missing, "seed": seed}
        return find_score_table(scores, data_root=self.data_root, **options)


@dataclass(frozen=True)
class Store(Machine):
    """Features.

    Args:
        features (DIR): folder of the feature store; default: ~/.cache/clipiqa/features
        quiet (-q): no progress
    """

    features: str | None = None
    quiet: bool = False

    def keywords(self) -> dict[str, Any]:
        say: Callable[[str], None] | None = None if self.quiet else note
        return {"features": self.features, "workers": self.workers, "say": say}


def creation(name: str, network: Mapping[str, Any], **options: Any) -> str:
    """Return the Python line that builds a metric."""
    usual = {"backbone": ("RN50",), "clip_weights": (), "quick_gelu": (), "pos_embedding": (False, "none")}
    for option, values in {**usual, "precision": ("fp32",)}.items():
        if network.get(option) not in (None, *values):
            options[option] = network[option]
    texts = (f", {option}={value if option == 'prompts' else repr(value)}" for option, value in options.items())
    return f"pyiqa.create_metric({name!r}{''.join(texts)})"
