"""Shards: what arguments stand for, and what is read out of tar archives, Parquet files and stores."""

import os
import socket
import sys
import threading
import time

import fsspec
import pytest
from assertions import refused
from PIL import Image
from shard_makers import header_at, picture, samples, save_parquet, save_tar

from clipiqa_pyiqa.workbench.images.formats import skipped_note, unreadable_suffixes
from clipiqa_pyiqa.workbench.images.image import BytesImage, File, NoImage, read_image
from clipiqa_pyiqa.workbench.names.named_images import images_named
from clipiqa_pyiqa.workbench.options import AnySize, Reading
from clipiqa_pyiqa.workbench.sources import shard_images
from clipiqa_pyiqa.workbench.sources.braces import expanded
from clipiqa_pyiqa.workbench.sources.finding import find_inputs, find_sources
from clipiqa_pyiqa.workbench.sources.parquet import ParquetShard
from clipiqa_pyiqa.workbench.sources.shard_images import images_in, read_ahead
from clipiqa_pyiqa.workbench.sources.shards import Shard
from clipiqa_pyiqa.workbench.sources.tar import TarShard


def greys(sources):
    return [int(source.load(AnySize()).pixels[0, 0, 0]) for source in sources]


def names(sources):
    return [source.name.rsplit("/", 1)[-1] for source in sources]


def test_a_brace_pattern_stands_for_names():
    for pattern, expected in [
        ("s/{08..10}.tar", ["s/08.tar", "s/09.tar", "s/10.tar"]),
        ("{a,b}/{2..0}", ["a/2", "a/1", "a/0", "b/2", "b/1", "b/0"]),
        ("{1.." + "9" * 5000 + "}", ["{1.." + "9" * 5000 + "}"]),  # a name like any other
    ]:
        assert expanded(pattern) == expected


def test_a_brace_pattern_of_more_than_a_million_names_is_refused():
    for pattern in ("{0..999999999}.tar", "{0..9}" * 7):
        refused(expanded, pattern)


# Finding


@pytest.fixture
def lake(tmp_path):
    for shard in ("000", "001", "003"):
        save_tar(tmp_path / f"shards/{shard}.tar", samples([10]))
    save_parquet(tmp_path / "table.parquet", {"image": [picture(20)]})
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a.cr2", "b.cr2", "c.nef", "d.CR2"):  # the first two belong together
        (tmp_path / "photos" / name).write_bytes(picture(30))
    return tmp_path


def test_mixed_sources_are_found_once_in_the_order_given(lake):
    given = [f"{lake}/photos", f"{lake}/shards/{{000..001}}.tar", f"{lake}/table.parquet", f"{lake}/shards"]
    found = find_sources([*given, f"file://{lake}/shards/*.tar"])
    assert names(found.sources) == ["a.png", "000.tar", "001.tar", "table.parquet", "003.tar"]
    assert greys(images_in(found.sources)) == [30, 10, 10, 20, 10]
    assert found.skipped == {".cr2": 2, ".nef": 1}
    assert skipped_note(found.skipped).startswith("3 skipped: 2 .cr2, 1 .nef; convert them")
    (lake / "empty").mkdir()
    sources = find_sources([f"{lake}/photos", f"{lake}/empty"])
    assert sources.problem == f"'{lake}/empty' is a folder without image files"


def test_archives_beside_images_are_found_but_tables_only_where_named(lake):
    assert names(find_sources(lake).sources) == ["a.png", "000.tar", "001.tar", "003.tar"]


def test_commands_for_files_do_not_take_archives_beside_images(lake):
    assert [os.path.basename(path) for path in find_inputs(lake)] == ["a.png"]
    assert "and 2 more" in refused(find_inputs, lake / "shards")


def test_linked_folders_are_followed_and_each_real_folder_is_read_once(lake, tmp_path):
    for folder in ("elsewhere/deep", "a/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "elsewhere/deep/b.png").write_bytes(picture(30))
    links = {"link": "elsewhere", "again": "elsewhere/deep", "b/up": "a", "c": "none", "z.png": "photos/a.png"}
    for link, target in links.items():
        (tmp_path / "a" / link).symlink_to(tmp_path / target)
    found = [os.path.relpath(item.name, tmp_path) for item in find_sources(tmp_path / "a").sources]
    assert found == ["a/z.png", "a/again/b.png"]


def test_an_archive_without_images_is_named(tmp_path):
    path = save_tar(tmp_path / "0.tar", {"a.txt": b"x"})
    assert [getattr(source, "problem", "") for source in images_in(find_sources(path).sources)] == [
        f"'{path}' holds no images"
    ]


def test_missing_sources_are_named(lake):
    for name, count, why in [
        ("none/*.tar", 0, "none/*.tar' matches nothing"),
        ("none/{0..2}.png", 0, "none/0.png' does not exist (and 2 more like it)"),
        ("shards/{000..003}.tar", 4, "shards/002.tar' does not exist"),
    ]:
        found = find_sources(f"{lake}/{name}")
        assert found.problem == f"'{lake}/{why}" and found.is_empty == (not count)
        assert sum(isinstance(item, Shard) for item in found.sources) == count


# Tar


def test_members_have_names_and_kept_values(tmp_path):
    for suffix in ["tar", "tar.xz"]:
        members = {**samples([10, 20]), "a/.hidden.png": picture(2), "a/" + "ü" * 150 + ".PNG": picture(1)}
        path = save_tar(tmp_path / f"0.{suffix}", members, "w" + suffix[3:].replace(".", ":"))
        found = list(TarShard(str(path), ["caption", "txt", "key", "tags", "gone"]).entries())
        assert [entry.name for entry in found[:2]] == [f"{path}::0000.png", f"{path}::0001.png"]
        assert found[1].carried == {"caption": "grey 20", "txt": "text 1", "key": "0001", "tags": ["a"], "gone": None}
        assert greys(found) == [10, 20, 1]


def test_members_before_a_cut_are_read_and_the_cut_is_named(tmp_path):
    for cut in range(1, 10, 2):
        path = save_tar(tmp_path / "0.tar", samples([10, 20, 30]))
        end = header_at(path, "0002.txt") + 1024
        path.write_bytes(path.read_bytes()[: end * cut // 10])
        *whole, last = TarShard(str(path)).entries()
        assert greys(whole) == [10, 20, 30][: len(whole)] and len(whole) >= cut // 4
        refused(last.read)


def test_a_member_that_is_cut_does_not_count_as_read(tmp_path):
    path = save_tar(tmp_path / "0.tar", {"0000.png": bytes(5000)})
    path.write_bytes(path.read_bytes()[:2000])
    (cut,) = TarShard(str(path)).entries()
    assert "the part before (0 members) was read" in cut.problem


def test_a_wrong_header_is_named(tmp_path):
    for spoilt in [b"\0" * 512, b"JFIF" * 128]:
        path = save_tar(tmp_path / "0.tar", samples([10, 20, 30]))
        data = bytearray(path.read_bytes())
        at = header_at(path, "0001.png")
        data[at : at + 512] = spoilt
        path.write_bytes(data)
        first, lost = TarShard(str(path)).entries()
        assert greys([first]) == [10]
        refused(lost.read)


def test_members_outside_and_links_are_not_scored(tmp_path):
    for name in ["../x.png", "/etc/y.png", "a/../../z.png", "link.png"]:
        content = None if name == "link.png" else picture(1)
        (member,) = TarShard(str(save_tar(tmp_path / "0.tar", {name: content}))).entries()
        refused(member.read)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    for content in [b"", b"no archive at all" * 100, b"\x1f\x8b\x08"]:
        path = tmp_path / "0.tar"
        path.write_bytes(content)
        refused(list, TarShard(str(path)).entries())


# Parquet


def test_images_are_bytes_or_structs(tmp_path):
    for columns, carried in [
        ({"id": [1, 2], "jpg": [picture(10), None]}, {"id": 1}),  # Hugging Face's are structs
        ({"image": [{"bytes": picture(10), "path": "x.png"}, None]}, {}),
    ]:
        path = save_parquet(tmp_path / "x.parquet", columns)
        first, last = ParquetShard(str(path), list(carried)).entries()
        assert greys([first]) == [10] and first.carried == carried and last.name == f"{path}::1"
        refused(last.read)


def test_the_image_column_is_found_or_given(tmp_path):
    for given, grey in [(None, 9), ("foo", 8)]:
        path = save_parquet(tmp_path / "x.parquet", {"hash": [b"1"], "image": [picture(9)], "foo": [picture(8)]})
        assert greys(ParquetShard(str(path), (), given).entries()) == [grey]


def test_columns_that_are_not_there_are_refused(tmp_path):
    for columns, given, named in [
        ({"one": [b"1"], "two": [b"2"]}, ((), None), "one, two"),
        ({"id": [1], "caption": ["a"]}, ((), None), "id, caption"),
        ({"id": [1], "caption": ["a"]}, ((), "id"), "'id'"),
        ({"img": [picture(1)]}, (["x"], None), "'x'"),
    ]:
        path = save_parquet(tmp_path / "x.parquet", columns)
        assert named in refused(list, ParquetShard(str(path), *given).entries())


def test_reading_ahead_is_bounded_in_bytes_and_ends(monkeypatch):
    monkeypatch.setattr(shard_images, "AHEAD_BYTES", 5 << 14)  # a small image counts as 16 KiB
    made = []
    before = set(threading.enumerate())

    class Own(Shard):
        name = "own"

        def entries(self):
            try:
                for number in range(50):
                    made.append(number)
                    yield BytesImage(f"own::{number}", bytes(1000))
            finally:
                time.sleep(0.1)

    ahead = read_ahead(Own())
    next(ahead)
    time.sleep(0.1)
    assert len(made) <= 8
    ahead.close()  # waits: a thread in the middle of Arrow's code, when Python ends, aborts the process
    assert len(made) <= 8 and set(threading.enumerate()) <= before


# Stores


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
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


def test_a_video_that_is_skipped_is_not_to_be_converted_to_a_picture():
    assert skipped_note({".mp4": 1}) == "1 skipped: 1 .mp4; score the videos by themselves, with `clipiqa score`"
    assert "; convert the pictures to PNG or TIFF; score the videos" in skipped_note({".mp4": 1, ".psd": 1})


def test_a_sidecar_that_is_nested_too_deeply_costs_no_image(tmp_path):
    members = {"a.png": picture(1), "a.json": b"[" * 100_000, "b.png": picture(2), "b.json": b'{"n": 2}'}
    shard = save_tar(tmp_path / "t.tar", members)
    images = list(images_in(find_sources([shard], keep=["n"]).sources))
    assert [image.carried.get("n") for image in images if not isinstance(image, NoImage)] == [None, 2]
    assert [image.problem for image in images if isinstance(image, NoImage)] == [
        f"'{shard}::a.json' holds no JSON object"
    ]


def test_shards_tables_and_images_in_a_store_are_found_and_read(stored):
    found = find_sources(
        [f"{stored}/shards/{{000..001}}.tar", f"{stored}/t.parquet", f"{stored}/photos", f"{stored}/shards"]
    )
    assert [str(item.name).rpartition("/")[2] for item in found.sources] == ["000.tar", "001.tar", "t.parquet", "a.png"]
    assert found.skipped == {".psd": 1} and not found.problems
    assert [int(read_image(source).pixels.max()) for source in images_in(found.sources)] == [10, 15, 20, 15, 50, 60]


def test_sources_that_are_not_in_a_store_are_named(stored):
    refused(lambda: list(find_sources(f"{stored}/gone.tar").sources[0].entries()))
    refused(find_sources(f"{stored}/gone.png").sources[0].read)
    assert find_sources(f"{stored}/no*.tar").problem == f"'{stored}/no*.tar' matches nothing"
    assert find_sources(f"{stored}/nothing").problem == f"'{stored}/nothing' does not exist"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for address, named in (("gs://b/x.tar", "gcsfs"), ("nosuch://b/x.tar", "Protocol")):
        assert named in refused(find_sources, address)


def test_a_refused_connection_is_an_error_of_the_shard():
    pytest.importorskip("aiohttp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar"
    refused(lambda: list(find_sources(address).sources[0].entries()))


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    pytest.importorskip("pillow_heif")
    assert ".heic" not in unreadable_suffixes()
    path = tmp_path / "a.heic"
    Image.new("RGB", (64, 48), (90,) * 3).save(path, "HEIF", quality=95)
    record = File(str(path)).load(Reading())
    assert record.size == (64, 48) and abs(int(record.pixels[0, 5, 5]) - 90) <= 2


@pytest.mark.quick
def test_members_rows_and_files_are_read_by_their_names(tmp_path):
    for suffix in ["tar", "tar.gz"]:
        tar = save_tar(tmp_path / f"0.{suffix}", samples([10, 20, 30]), "w" + suffix[3:].replace(".", ":"))
        table = save_parquet(tmp_path / "t.parquet", {"image": [picture(40), picture(50), picture(60)]})
        (tmp_path / "a.png").write_bytes(picture(70))
        names = [f"{table}::2", f"{tar}::0002.png", str(tmp_path / "a.png"), f"{table}::0", f"{tar}::0000.png"]
        levels = {source.name: int(read_image(source).pixels.max()) for source in images_named(names)}
        assert [levels[name] for name in names] == [60, 30, 70, 40, 10] and len(levels) == 5


def test_an_image_that_is_gone_is_named(tmp_path):
    for shard in ["0.tar", "gone.tar", "gone.parquet", "t.parquet"]:
        save_tar(tmp_path / "0.tar", samples([10]))
        save_parquet(tmp_path / "t.parquet", {"image": [picture(40)]})
        (source,) = images_named([f"{tmp_path}/{shard}::9"])
        refused(source.read)
