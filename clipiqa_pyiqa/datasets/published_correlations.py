"""Published correlations with their sources, from ``published_correlations.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .csv_files import read_rows

SOURCES = ("paper", "pyiqa")


@dataclass(frozen=True)
class PublishedCorrelations:
    """Published correlations in [-1, 1], high is good; PLCC has no fitted curve, KRCC may be NaN."""

    srocc: float
    plcc: float
    source: str
    krcc: float = math.nan

    def __getitem__(self, statistic: str) -> float:
        """Return ``'SROCC'``, ``'PLCC'`` or ``'KRCC'``; NaN for other names."""
        return float(getattr(self, statistic.lower(), math.nan))


def find_published(metric: str, data_set: str, prefer: str = "") -> PublishedCorrelations | None:
    """Return the published result of a metric on a data set, or None.

    Args:
        metric: pyiqa's name, or the name from :func:`variant`.
        data_set: pyiqa's name.
        prefer: Source ``'paper'`` (default for CLIP-IQA) or ``'pyiqa'``.
    """
    found = _table().get((metric, data_set), [])
    prefer = prefer or ("paper" if metric.startswith("clipiqa") else "pyiqa")
    return next((entry for entry in found if entry.source.startswith(prefer)), found[0] if found else None)


def variant(backbone: str, pos_embedding: str, positive: str, negative: str) -> str:
    """Return the table's name for CLIP-IQA with a prompt pair."""
    return f"clipiqa {backbone} {pos_embedding} {positive}|{negative}"


PAPER = variant("RN50", "none", "Good photo.", "Bad photo.")
ENSEMBLE = "clipiqa, pyiqa's five pairs"


def published_set(name: str, options: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table's name for a data set; empty if the published results used other images."""
    if name not in known:
        return ""
    usual = {"phase": "test", **known[name]}
    places = ("meta_info_file", "dataroot_target", "dataroot_ref", "name", "subset_seed")  # these do not choose images
    changed = {key: value for key, value in options.items() if key not in places and value != usual.get(key)}
    table, folder = (Path(options[key]).name for key in ("meta_info_file", "dataroot_target"))
    # entries with the same table, for instance for images of another size
    twins = [info for info in known.values() if info["meta_info_file"] == usual["meta_info_file"]]
    others = {Path(info["dataroot_target"]).name for info in twins} - {Path(usual["dataroot_target"]).name}
    if table != Path(usual["meta_info_file"]).name or folder in others:
        return ""
    if name == "spaq" and changed == {"augment": {"resize": 512}, "subset": 0.2}:  # the paper's size; pyiqa uses 448
        return "spaq 20 % at 512"
    return "" if changed else name


@cache
def _table() -> dict[tuple[str, str], list[PublishedCorrelations]]:
    found: dict[tuple[str, str], list[PublishedCorrelations]] = {}
    for _, row in read_rows(Path(__file__).with_suffix(".csv"))[0]:
        values = float(row["SROCC"]), float(row["PLCC"]), row["source"], float(row["KRCC"] or math.nan)
        found.setdefault((row["metric"], row["data_set"]), []).append(PublishedCorrelations(*values))
    return found
