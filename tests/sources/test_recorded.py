"""Images by the names that results give them."""

import pytest
from shard_makers import picture, samples, save_parquet, save_tar

from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.sources.finding import images_named

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_members_rows_and_files_are_read_by_their_names(tmp_path, suffix):
    tar = save_tar(tmp_path / f"0.{suffix}", samples([10, 20, 30]), "w" + suffix[3:].replace(".", ":"))
    table = save_parquet(tmp_path / "t.parquet", {"image": [picture(40), picture(50), picture(60)]})
    (tmp_path / "a.png").write_bytes(picture(70))
    names = [f"{table}::2", f"{tar}::0002.png", str(tmp_path / "a.png"), f"{table}::0", f"{tar}::0000.png"]
    levels = {source.name: int(read_image(source).pixels.max()) for source in images_named(names)}
    assert [levels[name] for name in names] == [60, 30, 70, 40, 10] and len(levels) == 5


@pytest.mark.parametrize("shard", ["0.tar", "gone.tar", "gone.parquet", "t.parquet"])
def test_an_image_that_is_gone_is_named(tmp_path, shard):
    save_tar(tmp_path / "0.tar", samples([10]))
    save_parquet(tmp_path / "t.parquet", {"image": [picture(40)]})
    (source,) = images_named([f"{tmp_path}/{shard}::9"])
    with pytest.raises(ImageError, match="its shard"):
        source.read()
