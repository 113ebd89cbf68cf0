"""Published correlations, each with its source, from ``published_correlations.csv``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = ("paper", "pyiqa")


@dataclass(frozen=True)
class PublishedCorrelations:
    """One published result.

    Attributes:
        srocc: As published, in [-1, 1], positive for a good metric.
        plcc: Likewise, without a fit.
        source: Where, such as ``'paper, Table 1'``.
        krcc: Likewise; NaN where it is not given, as in the paper.
    """

    srocc: float
    plcc: float
    source: str
    krcc: float = math.nan

    def __getitem__(self, statistic: str) -> float:
        """Return the value of ``'SROCC'``, ``'PLCC'`` or ``'KRCC'``; NaN of any other statistic."""
        return float(getattr(self, statistic.lower(), math.nan))


def find_published(metric: str, data_set: str, prefer: str = "") -> PublishedCorrelations | None:
    """Return the published result of a metric on a data set, or None.

    Args:
        metric: pyiqa's name, or a variant of CLIP-IQA as :func:`variant` writes it.
        data_set: pyiqa's name, for the images that are published: KonIQ-10k's test set, all of LIVE-itW, …
        prefer: ``'paper'`` or ``'pyiqa'``, where both publish one; by default the paper for CLIP-IQA, else pyiqa,
            whose own code and weights are what is run here.
    """
    found = _table().get((metric, data_set), [])
    prefer = prefer or ("paper" if metric.startswith("clipiqa") else "pyiqa")
    return next((entry for entry in found if entry.source.startswith(prefer)), found[0] if found else None)


def variant(backbone: str, pos_embedding: str, positive: str, negative: str) -> str:
    """Return the name, in the table, of CLIP-IQA with one prompt pair and OpenAI's weights."""
    return f"clipiqa {backbone} {pos_embedding} {positive}|{negative}"


PAPER = variant("RN50", "none", "Good photo.", "Bad photo.")
ENSEMBLE = "clipiqa, pyiqa's five pairs"


def published_set(name: str, options: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name, in the table, of a data set of pyiqa's; empty unless its images are the published ones.

    Args:
        name: pyiqa's name of it.
        options: All of its options, and of ours ``subset``.
        known: pyiqa's data sets: name -> options.
    """
    if name not in known:
        return ""
    usual = {"phase": "test", **known[name]}
    aside = ("meta_info_file", "dataroot_target", "dataroot_ref", "name", "subset_seed")  # not which images are meant
    changed = {key: value for key, value in options.items() if key not in aside and value != usual.get(key)}
    table, folder = (Path(options[key]).name for key in ("meta_info_file", "dataroot_target"))
    twins = [info for info in known.values() if info["meta_info_file"] == usual["meta_info_file"]]  # at another size
    others = {Path(info["dataroot_target"]).name for info in twins} - {Path(usual["dataroot_target"]).name}
    if table != Path(usual["meta_info_file"]).name or folder in others:
        return ""
    if name == "spaq" and changed == {"augment": {"resize": 512}, "subset": 0.2}:  # the paper's; pyiqa's are at 448
        return "spaq 20 % at 512"
    return "" if changed else name


@cache
def _table() -> dict[tuple[str, str], list[PublishedCorrelations]]:
    found: dict[tuple[str, str], list[PublishedCorrelations]] = {}
    with Path(__file__).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            entry = PublishedCorrelations(
                float(row["SROCC"]), float(row["PLCC"]), row["source"], float(row["KRCC"] or math.nan)
            )
            found.setdefault((row["metric"], row["data_set"]), []).append(entry)
    return found
