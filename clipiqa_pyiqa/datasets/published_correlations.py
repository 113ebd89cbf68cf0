"""Published correlations, each with its source: what a comparison shows beside its own.

Sources: the paper (https://arxiv.org/abs/2207.12396), Tables 1, 2 and 5; pyiqa's ``tests/NR_benchmark_results.csv``
(commit 0d000733), measured with its own code and weights on its own splits. Both report PLCC without a fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = ("paper", "pyiqa")


@dataclass(frozen=True)
class PublishedCorrelations:
    """One published result.

    Attributes:
        srocc: As published, in [-1, 1], positive for a good metric.
        plcc: Likewise.
        source: Where, such as ``'paper, Table 1'``.
        krcc: Likewise; NaN where it is not given, as in the paper.
    """

    srocc: float
    plcc: float
    source: str
    krcc: float = math.nan

    def __getitem__(self, statistic: str) -> float:
        """The value of ``'SROCC'``, ``'PLCC'`` or ``'KRCC'``; NaN of any other statistic."""
        return float(getattr(self, statistic.lower(), math.nan))


def find_published(metric: str, data_set: str, prefer: str = "") -> PublishedCorrelations | None:
    """The published result of a metric on a data set, by the names used here; None if there is none.

    Args:
        metric: pyiqa's name, or a variant of CLIP-IQA as :func:`variant` writes it.
        data_set: pyiqa's name, for the images that are published: KonIQ-10k's test set, all of LIVE-itW, …
        prefer: ``'paper'`` or ``'pyiqa'``, where both publish one; by default the paper for CLIP-IQA, else pyiqa,
            whose own code and weights are what is run here.
    """
    found = _TABLE.get((metric, data_set), [])
    prefer = prefer or ("paper" if metric.startswith("clipiqa") else "pyiqa")
    return next((entry for entry in found if entry.source.startswith(prefer)), found[0] if found else None)


def variant(backbone: str, pos_embedding: str, positive: str, negative: str) -> str:
    """How this module names CLIP-IQA with one prompt pair and OpenAI's weights."""
    return f"clipiqa {backbone} {pos_embedding} {positive}|{negative}"


def published_set(name: str, options: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> str:
    """How this module names a data set of pyiqa's; empty unless its images are the published ones, wherever they lie.

    Args:
        name: pyiqa's name of it.
        options: All of its options, and of ours ``subset``.
        known: pyiqa's data sets: name -> options.
    """
    if name not in known:
        return ""
    usual = {"phase": "test", **known[name]}
    changed = {key: value for key, value in options.items() if key not in _ASIDE and value != usual.get(key)}
    table, folder = (Path(options[key]).name for key in ("meta_info_file", "dataroot_target"))
    twins = (info for info in known.values() if info["meta_info_file"] == usual["meta_info_file"])  # at another size
    if table != Path(usual["meta_info_file"]).name or folder in {
        Path(info["dataroot_target"]).name for info in twins if info["dataroot_target"] != usual["dataroot_target"]
    }:
        return ""
    if name == "spaq" and changed == {"augment": {"resize": 512}, "subset": 0.2}:  # the paper's; pyiqa's are at 448
        return "spaq 20 % at 512"
    return "" if changed else name


_ASIDE = ("meta_info_file", "dataroot_target", "dataroot_ref", "name", "subset_seed")  # not which images are meant
PAPER = variant("RN50", "none", "Good photo.", "Bad photo.")
ENSEMBLE = "clipiqa, pyiqa's five pairs"

_PAPER_SETS = ("koniq10k-1024", "livec", "spaq 20 % at 512")
_TABLE_1 = {  # SROCC, PLCC for each of _PAPER_SETS
    "brisque": (0.705, 0.707, 0.561, 0.598, 0.484, 0.481),
    "niqe": (0.551, 0.488, 0.463, 0.491, 0.703, 0.670),
    PAPER: (0.695, 0.727, 0.612, 0.594, 0.738, 0.735),
    "cnniqa": (0.572, 0.584, 0.465, 0.450, 0.664, 0.664),
    "hyperiqa": (0.904, 0.915, 0.760, 0.776, 0.811, 0.805),
    "musiq": (0.924, 0.937, 0.793, 0.832, 0.873, 0.868),
    "clipiqa+": (0.895, 0.909, 0.805, 0.832, 0.864, 0.866),
}
_TABLE_2 = {  # KonIQ-10k and LIVE-itW, without the row that is in Table 1
    variant("RN50", "none", "A photo of Good.", "A photo of Bad."): (0.116, 0.119, 0.263, 0.276),
    variant("RN50", "none", "There is Good in the photo.", "There is Bad in the photo."): (0.214, 0.217, 0.347, 0.351),
    variant("ViT-B/32", "fixed", "Good photo.", "Bad photo."): (0.416, 0.464, 0.488, 0.479),
    variant("ViT-B/32", "interpolate", "Good photo.", "Bad photo."): (0.634, 0.643, 0.503, 0.491),
    variant("ViT-B/32", "none", "Good photo.", "Bad photo."): (0.391, 0.374, 0.375, 0.365),
    variant("RN50", "fixed", "Good photo.", "Bad photo."): (0.383, 0.429, 0.481, 0.4),
    variant("RN50", "interpolate", "Good photo.", "Bad photo."): (0.682, 0.690, 0.583, 0.555),
    variant("RN50", "none", "High quality photo.", "Low quality photo."): (0.537, 0.570, 0.462, 0.429),
    variant("RN50", "none", "High definition photo.", "Low definition photo."): (0.592, 0.580, 0.611, 0.560),
}
_TABLE_5 = {  # TID2013
    "brisque": (0.444, 0.472),
    "niqe": (0.321, 0.527),
    PAPER: (0.51, 0.571),
    "hyperiqa": (0.406, 0.481),
    "musiq": (0.578, 0.683),
    "clipiqa+": (0.632, 0.692),
}
_PYIQA_SETS = ("livec", "koniq10k", "tid2013", "flive", "spaq", "koniq10k-1024")
_NO: tuple[float, float, float] | None = None
_PYIQA: dict[str, tuple[tuple[float, float, float] | None, ...]] = {  # PLCC, SROCC, KRCC for each of _PYIQA_SETS
    "brisque": ((0.3509, 0.3128, 0.2113), (0.2107, 0.23, 0.1548), (0.4317, 0.3672, 0.2574), _NO, _NO, _NO),
    "niqe": ((0.48, 0.4505, 0.3069), (0.3155, 0.3769, 0.2555), (0.3669, 0.3121, 0.2124), _NO, _NO, _NO),
    "ilniqe": ((0.4938, 0.4381, 0.2972), (0.5232, 0.551, 0.3862), (0.5156, 0.487, 0.3442), _NO, _NO, _NO),
    "nrqm": ((0.4122, 0.3012, 0.2013), (0.4756, 0.3715, 0.2517), (0.4591, 0.3317, 0.2285), _NO, _NO, _NO),
    "pi": ((0.5201, 0.4615, 0.3139), (0.4688, 0.4573, 0.3132), (0.4512, 0.3444, 0.2373), _NO, _NO, _NO),
    "nima": ((0.4993, 0.5071, 0.348), (0.7156, 0.6662, 0.4816), _NO, _NO, _NO, _NO),
    "paq2piq": ((0.7542, 0.7188, 0.5302), (0.7062, 0.643, 0.4622), (0.5776, 0.4011, 0.2838), _NO, _NO, _NO),
    "cnniqa": ((0.6338, 0.6126, 0.4285), (0.7971, 0.7603, 0.562), (0.3932, 0.162, 0.1063), _NO, _NO, _NO),
    "dbcnn": ((0.7864, 0.7642, 0.5667), (0.9269, 0.9122, 0.7451), (0.5454, 0.4348, 0.3057), _NO, _NO, _NO),
    "musiq-ava": ((0.6001, 0.5954, 0.4235), (0.589, 0.5273, 0.3714), _NO, _NO, _NO, _NO),
    "musiq": (
        (0.8295, 0.7889, 0.5986),
        (0.8958, 0.8654, 0.6817),
        (0.6814, 0.575, 0.4131),
        (0.5128, 0.4978, 0.3437),
        (0.8626, 0.8676, 0.6649),
        _NO,
    ),
    "musiq-paq2piq": ((0.8014, 0.7672, 0.5743), (0.7655, 0.7084, 0.5146), _NO, _NO, (0.8112, 0.8436, 0.6412), _NO),
    "musiq-spaq": ((0.8134, 0.789, 0.5937), (0.7528, 0.6799, 0.4927), _NO, (0.6039, 0.5627, 0.3941), _NO, _NO),
    "maniqa": ((0.7244, 0.6555, 0.4705), (0.715, 0.6567, 0.4676), (0.6893, 0.5884, 0.4189), _NO, _NO, _NO),
    ENSEMBLE: ((0.6883, 0.6955, 0.5065), (0.7211, 0.6572, 0.4736), (0.6471, 0.5786, 0.4107), _NO, _NO, _NO),
    "clipiqa+": (
        (0.8312, 0.8045, 0.6109),
        (0.8454, 0.8026, 0.6123),
        (0.701, 0.6318, 0.4541),
        _NO,
        _NO,
        (0.909, 0.8954, 0.7181),
    ),
    "clipiqa+_rn50_512": ((0.8181, 0.818, 0.6231), (0.9012, 0.8847, 0.7033), (0.6577, 0.5949, 0.4241), _NO, _NO, _NO),
    "clipiqa+_vitL14_512": ((0.7679, 0.7729, 0.5733), (0.8747, 0.861, 0.6721), (0.6063, 0.5259, 0.3709), _NO, _NO, _NO),
    "tres": ((0.8118, 0.7771, 0.5808), _NO, _NO, (0.513, 0.4919, 0.3391), (0.8624, 0.8619, 0.66), _NO),
    "tres-flive": ((0.7213, 0.7336, 0.5373), (0.7507, 0.7068, 0.516), _NO, _NO, (0.6137, 0.7269, 0.533), _NO),
    "hyperiqa": ((0.7688, 0.744, 0.5448), (0.9196, 0.8991, 0.7283), (0.5646, 0.4502, 0.3142), _NO, _NO, _NO),
    "topiq_nr": (
        (0.8261, 0.8106, 0.6165),
        (0.9436, 0.9299, 0.7727),
        (0.5625, 0.4452, 0.3143),
        (0.6289, 0.5819, 0.4105),
        (0.8744, 0.8704, 0.6716),
        _NO,
    ),
}


def _entries() -> Iterator[tuple[str, str, PublishedCorrelations]]:
    for table, rows, sets in ((1, _TABLE_1, _PAPER_SETS), (2, _TABLE_2, _PAPER_SETS[:2]), (5, _TABLE_5, ("tid2013",))):
        for metric, values in rows.items():
            for data_set, srocc, plcc in zip(sets, values[::2], values[1::2], strict=True):
                yield metric, data_set, PublishedCorrelations(srocc, plcc, f"paper, Table {table}")
    for metric, of_sets in _PYIQA.items():
        for data_set, found in zip(_PYIQA_SETS, of_sets, strict=True):
            if found is not None:
                yield metric, data_set, PublishedCorrelations(found[1], found[0], "pyiqa's benchmark table", found[2])


_TABLE: dict[tuple[str, str], list[PublishedCorrelations]] = {}
for _metric, _data_set, _published in _entries():
    _TABLE.setdefault((_metric, _data_set), []).append(_published)
