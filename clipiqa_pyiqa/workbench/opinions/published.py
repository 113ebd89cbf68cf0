"""Published correlations of metrics with people, from papers and pyiqa."""

from collections.abc import Collection
from functools import cache
from pathlib import Path

from ..files.csv_files import read_rows
from ..files.named import Settings

PATH_OPTIONS = ("meta_info_file", "dataroot_target", "dataroot_ref")  # of pyiqa's data sets


def find_published(metric: str, data_set: str) -> dict[str, str]:
    """Return a metric's published ``SROCC``, ``PLCC`` (without a fit), ``KRCC`` (may be empty) and ``source``, or {}.

    The source is the paper if it has a value, else pyiqa's benchmark.
    """
    found = [row for row in _rows() if (row["metric"], row["data_set"]) == (metric, data_set)]
    return min(found, key=lambda row: not row["source"].startswith("paper"), default={})


_SETS = {"koniq10k": "KonIQ-10k", "koniq10k-1024": "KonIQ-10k", "livec": "LIVE-itW", "tid2013": "TID2013"}
_SETS |= {"spaq": "SPAQ", "spaq at 512": "SPAQ"}


def published_rows(data_set: str, metrics: Collection[str]) -> list[dict[str, str]]:
    """Return the rows of metrics on a data set, then those of all judges whose source does not say size and split."""
    exact = [row for row in _rows() if row["data_set"] == data_set and row["metric"] in metrics]
    return exact + [row for row in _rows() if row["data_set"] == _SETS.get(data_set)]


def variant(backbone: str, pos_embedding: str, positive: str, negative: str) -> str:
    """Return the table's name for CLIP-IQA with a prompt pair."""
    return f"clipiqa {backbone} {pos_embedding} {positive}|{negative}"


PAPER = variant("RN50", "none", "Good photo.", "Bad photo.")
ENSEMBLE = "clipiqa, pyiqa's five pairs"


def published_set(name: str, options: Settings, usual: Settings) -> str:
    """Return the table's name for a data set of pyiqa's; empty if options differ from the usual options.

    Only the last part of a path counts.
    """
    paths = PATH_OPTIONS[:2]
    changed = {
        key: value
        for key, value in options.items()
        if key not in (*paths, "name", "dataroot_ref") and value != usual.get(key)
    }
    if any(Path(options[key]).name != Path(usual[key]).name for key in paths):
        return ""
    if name == "spaq" and changed == {"augment": {"resize": 512}}:  # the paper's size; pyiqa uses 448
        return "spaq at 512"
    return "" if changed else name


@cache
def _rows() -> list[dict[str, str]]:
    # of the paper (https://arxiv.org/abs/2207.12396): Tables 1, 2 (without the row that is in Table 1) and 5
    # of judges, as a name of a set without size and split: their papers or repositories, as the row says
    # of pyiqa: tests/NR_benchmark_results.csv (commit 0d000733), its own code and weights on its own splits
    return [row for _, row in read_rows(Path(__file__).with_name("published_correlations.csv"))[0]]
