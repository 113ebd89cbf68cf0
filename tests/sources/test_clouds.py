"""Shards and images in a store that fsspec opens: here in memory."""

import fsspec
import pytest
from shard_makers import picture, samples, save_parquet, save_tar

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.sources.finding import find_shards, sources_of
from clipiqa_pyiqa.sources.stores import ShardError


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    files = {
        "shards/000.tar": save_tar(folder / "0.tar", samples([10, 15])).read_bytes(),
        "shards/001.tar": save_tar(folder / "1.tar", samples([20, 15])).read_bytes(),
        "t.parquet": save_parquet(folder / "t.parquet", {"image": [picture(50)]}).read_bytes(),
        "photos/a.png": picture(60),
        "photos/b.psd": b"x",
    }
    fsspec.filesystem("memory").pipe({f"/lake/{name}": content for name, content in files.items()})
    return "memory://lake"


def test_shards_tables_and_images_in_a_store_are_found_and_read(lake):
    found = find_shards([f"{lake}/shards/{{000..001}}.tar", f"{lake}/t.parquet", f"{lake}/photos", f"{lake}/shards"])
    assert [str(item.name).rpartition("/")[2] for item in found.items] == ["000.tar", "001.tar", "t.parquet", "a.png"]
    assert found.skipped == {".psd": 1} and not found.problems
    assert [int(read_image(source).pixels.max()) for source in sources_of(found.items)] == [10, 15, 20, 15, 50, 60]


def test_sources_that_are_not_in_a_store_are_named(lake):
    with pytest.raises(ShardError):
        list(find_shards(f"{lake}/gone.tar").items[0].entries())
    with pytest.raises(ImageError):
        find_shards(f"{lake}/gone.png").items[0].read()
    assert find_shards(f"{lake}/no*.tar").problem == f"'{lake}/no*.tar' matches nothing"
    assert find_shards(f"{lake}/nothing").problem == f"'{lake}/nothing' does not exist"
