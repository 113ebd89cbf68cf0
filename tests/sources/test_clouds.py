"""Shards and images on the Hugging Face Hub, from a stand-in, and in memory."""

from importlib.util import find_spec

import pytest
from cloud_standin import REPOSITORY, cloud
from shard_makers import picture, samples, save_parquet, save_tar

from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.sources.finding import find_shards
from clipiqa_pyiqa.sources.inputs import sources_of
from clipiqa_pyiqa.sources.shards import ShardError

STORES = {
    "hf": ("huggingface_hub", f"hf://datasets/{REPOSITORY}"),
    "memory": ("fsspec", "memory://lake"),
}


@pytest.fixture(scope="module", params=list(STORES))
def lake(request, tmp_path_factory):
    package, address = STORES[request.param]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    import fsspec

    folder = tmp_path_factory.mktemp("lake")
    files = {
        f"shards/{number:03d}.tar": save_tar(folder / f"{number}.tar", samples([10 * number + 10, 15])).read_bytes()
        for number in range(2)
    }
    files["t.parquet"] = save_parquet(folder / "t.parquet", {"image": [picture(50)]}).read_bytes()
    files |= {"photos/a.png": picture(60), "photos/b.nef": b"x"}
    with cloud(files) as server, pytest.MonkeyPatch.context() as patch:
        patch.setitem(fsspec.config.conf, "hf", {"endpoint": server, "token": False})
        for name, content in files.items() if request.param == "memory" else ():
            fsspec.filesystem("memory").pipe(f"/lake/{name}", content)
        yield address


def test_shards_tables_and_images_in_a_store_are_found_and_read(lake):
    found = find_shards([f"{lake}/shards/{{000..001}}.tar", f"{lake}/t.parquet", f"{lake}/photos", f"{lake}/shards"])
    assert [str(item.name).rpartition("/")[2] for item in found.items] == ["000.tar", "001.tar", "t.parquet", "a.png"]
    assert found.skipped == {".nef": 1} and not found.problems
    assert [int(read_image(source).pixels.max()) for source in sources_of(found.items)] == [10, 15, 20, 15, 50, 60]


def test_sources_that_are_not_in_a_store_are_named(lake):
    with pytest.raises(ShardError):
        list(find_shards(f"{lake}/gone.tar").items[0].entries())
    with pytest.raises(ImageError):
        find_shards(f"{lake}/gone.png").items[0].read()
    assert find_shards(f"{lake}/no*.tar").problem == f"'{lake}/no*.tar' matches nothing"
    assert find_shards(f"{lake}/nothing").problem == f"'{lake}/nothing' does not exist"
