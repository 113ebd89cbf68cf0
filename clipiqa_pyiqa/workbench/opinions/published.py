"""Published correlations of metrics with people, from papers and pyiqa, and the images that they were measured on."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..files.csv_files import read_rows

CORRELATIONS = ("SROCC", "PLCC", "KRCC")
ALL_IMAGES = "all images"
NOT_IN_PYIQA = "no implementation in pyiqa"
_SETS_OF_JUDGES = {
    "koniq10k": "KonIQ-10k",
    "koniq10k-1024": "KonIQ-10k",
    "livec": "LIVE-itW",
    "spaq": "SPAQ",
    "spaq at 512": "SPAQ",
    "tid2013": "TID2013",
}
"""Data set -> its name in rows of later judges, whose sources name neither its size nor its part."""


@dataclass(frozen=True)
class PublishedRow:
    """A metric's published correlations on a data set.

    Attributes:
        data_set: Name of the data set in this table, or of a set whose size and split the source does not say.
        values: SROCC, PLCC (without a fit) and KRCC; NaN where none was published.
        images: Number of images; None if the source does not say it.
        part: Which images of the data set; empty if the source does not say it.
        difference: In what the metric differs from pyiqa's of this name; empty if in nothing.
    """

    metric: str
    data_set: str
    source: str
    values: dict[str, float]
    trained_on: str
    images: int | None
    part: str
    difference: str

    @property
    def is_of_paper(self) -> bool:
        return self.source.startswith("paper")

    @property
    def images_text(self) -> str:
        if not self.part:
            return f"{self.data_set} (images not stated)"
        return f"{self.part} (number not stated)" if self.images is None else f"{self.images:,}, {self.part}"

    def difference_of_images(self, images: int, part: str) -> str:
        """Return in what so many images of this part of the data set differ from those behind the published values."""
        if not self.part:
            return "its source does not say which images"
        differences = []
        if self.images is None:
            differences.append("its source does not say how many images")
        elif self.images != images:
            differences.append(f"{self.images:,} images, here {images:,}")
        if self.part != part:
            differences.append(f"{self.part}, here {part}")
        return "; ".join(differences)


def find_published(metric: str, data_set: str, images: int, part: str) -> PublishedRow | None:
    """Return a metric's published correlations on a data set, or None.

    Of several, those on the same images are preferred, then those of the paper.
    """
    rows = [row for row in _rows() if (row.metric, row.data_set) == (metric, data_set)]
    rows.sort(key=lambda row: (bool(row.difference_of_images(images, part)), not row.is_of_paper))
    return rows[0] if rows else None


def is_published(metric: str) -> bool:
    """Return whether a metric has published correlations on any data set."""
    return any(row.metric == metric for row in _rows())


def published_rows(data_set: str, metrics: Collection[str]) -> list[PublishedRow]:
    """Return the rows on a data set to show beside some metrics.

    First come the paper's rows, also of methods that pyiqa lacks, then pyiqa's, then those of sources that say neither
    size nor split.
    """
    of_set = [row for row in _rows() if row.data_set == data_set]
    asked = [row for row in of_set if row.metric in metrics]
    sources = {row.source for row in asked if row.metric != PAPER}  # CLIP-IQA itself stands in each of its tables
    paper = []
    for row in of_set:
        is_missing = row.source in sources and row.difference == NOT_IN_PYIQA
        if is_missing or (row in asked and row.is_of_paper):
            paper.append(row)
    of_others = [row for row in asked if not row.is_of_paper]
    of_judges = [row for row in _rows() if row.data_set == _SETS_OF_JUDGES.get(data_set)]
    return [*paper, *of_others, *of_judges]


def variant(backbone: str, pos_embedding: str, positive: str, negative: str) -> str:
    """Return the table's name for CLIP-IQA with a prompt pair."""
    return f"clipiqa {backbone} {pos_embedding} {positive}|{negative}"


PAPER = variant("RN50", "none", "Good photo.", "Bad photo.")
ENSEMBLE = "clipiqa, pyiqa's five pairs"


@cache
def _rows() -> list[PublishedRow]:
    # of the paper (https://arxiv.org/abs/2207.12396): Tables 1, 2 (without the row that is in Table 1) and 5
    # of judges, as a name of a set without size and split: their papers or repositories, as the row says
    # of pyiqa: tests/NR_benchmark_results.csv (commit 0d000733), its own code and weights on its own splits
    # numbers of images: KonIQ-10k's test part as in Hosu et al. (IEEE TIP 2020), SPAQ's and TID2013's as their authors
    # give them, LIVE-itW's with and without the seven images that pyiqa leaves out
    return [_row(cells) for _, cells in read_rows(Path(__file__).with_name("published_correlations.csv"))[0]]


def _row(cells: dict[str, str]) -> PublishedRow:
    return PublishedRow(
        metric=cells["metric"],
        data_set=cells["data_set"],
        source=cells["source"],
        values={name: float(cells[name] or math.nan) for name in CORRELATIONS},
        trained_on=cells["trained_on"],
        images=int(cells["images"]) if cells["images"] else None,
        part=cells["part"],
        difference=cells["difference"],
    )
