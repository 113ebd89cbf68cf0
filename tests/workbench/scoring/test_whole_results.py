"""A run remembers its rows: whatever is asked of it first, or twice, gives all. An error leaves no lock."""

import gc
import tracemalloc

import pytest

from clipiqa_pyiqa.workbench.results.columns import Column
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.store import open_results


@pytest.mark.slow
def test_remembered_rows_take_little_memory():
    """At most 500 bytes per image with one score; measured are its row, and its name, which the caller holds too."""
    count = 2000
    results = open_results(None, [Column("quality", {"range": [0, 1]})], {})
    gc.collect()
    tracemalloc.start()
    for number in range(count):
        name = f"/data/photos/2024/holiday-{number:06}.jpg"
        stamp = f"{5_000_000 + number} 179619441082471{number:04}"
        results.append(Row(name, (0.5 + number / 10**7,), 6000, 4000, 1024, 683, 1, stamp=stamp))
    bytes_per_image = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert bytes_per_image < 500
    assert [*results.scores().frame["quality"]] == [0.5 + number / 10**7 for number in range(count)]
