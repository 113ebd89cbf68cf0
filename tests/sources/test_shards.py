"""Shards: what arguments stand for, and what is read out of tar archives, Parquet files and stores."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_makers import header_at, picture, samples, save_parquet, save_tar

from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images.formats import skipped_note, unreadable_suffixes
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.images.source import ImageSource
from clipiqa_pyiqa.sources import finding
from clipiqa_pyiqa.sources.embeddings import EmbeddingsShard
from clipiqa_pyiqa.sources.finding import expanded, find_shards
from clipiqa_pyiqa.sources.inputs import find_inputs, read_ahead, sources_of
from clipiqa_pyiqa.sources.parquet import ParquetShard
from clipiqa_pyiqa.sources.shards import ShardError, ShardImage
from clipiqa_pyiqa.sources.tar import TarShard


def greys(sources: Any) -> list[int]:
    return [int(read_image(source, min_side=1).pixels[0, 0, 0]) for source in sources]


def names(sources: Any) -> list[str]:
    return [source.name.rsplit("/", 1)[-1] for source in sources]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s/{08..10}.tar", ["s/08.tar", "s/09.tar", "s/10.tar"]),
        ("{a,b}/{2..0}", ["a/2", "a/1", "a/0", "b/2", "b/1", "b/0"]),
        ("{1.." + "9" * 5000 + "}", ["{1.." + "9" * 5000 + "}"]),  # a name like any other
    ],
)
def test_braces(pattern: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert expanded(pattern) == expected
    monkeypatch.setattr(finding, "MOST", 100)
    for large in ("{0..999999999}.tar", "{0..9}{0..9}{0..9}", "{9..0}" * 40):
        with pytest.raises(ImageError, match="at most 100 names"):
            expanded(large)


class TestFinding:
    @pytest.fixture
    def lake(self, tmp_path: Path) -> Path:
        for shard in ("000", "001", "003"):
            save_tar(tmp_path / f"shards/{shard}.tar", samples([10]))
        save_parquet(tmp_path / "table.parquet", {"image": [picture(20)]})
        (tmp_path / "photos").mkdir()
        for name in ("a.png", "b.cr2", "c.nef", "d.cr2"):
            (tmp_path / "photos" / name).write_bytes(picture(30))
        return tmp_path

    def test_everything_mixed_each_once_in_the_order_given(self, lake: Path) -> None:
        given = [f"{lake}/photos", f"{lake}/shards/{{000..001}}.tar", f"{lake}/table.parquet", f"{lake}/shards"]
        found = find_shards([*given, f"file://{lake}/shards/*.tar"])
        assert names(found.items) == ["a.png", "000.tar", "001.tar", "table.parquet", "003.tar"]
        assert names(found.shards()) == ["000.tar", "001.tar", "table.parquet", "003.tar", "files-00000"]
        assert greys(sources_of(found.items)) == [30, 10, 10, 20, 10]
        assert found.skipped == {".cr2": 2, ".nef": 1}
        assert skipped_note(found.skipped).startswith("3 skipped: .cr2, .nef; convert them to PNG or TIFF")

    def test_archives_beside_images_are_found_but_tables_only_where_named(self, lake: Path) -> None:
        assert names(find_shards(lake).items) == ["a.png", "000.tar", "001.tar", "003.tar"]

    def test_commands_for_files_do_not_take_archives_beside_images(self, lake: Path) -> None:
        found = find_inputs([str(lake)])
        assert names(found.items) == ["a.png"] and not found.problems
        assert len(find_inputs([str(lake / "shards")]).problems) == 3

    def test_a_file_is_found_once_however_its_folder_is_written(
        self, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(lake)
        found = find_shards(["photos/", "photos", f"{lake}//photos/", "./photos/../photos", "photos/a.png", "."])
        assert names(found.items) == ["a.png", "000.tar", "001.tar", "003.tar"]

    def test_linked_folders_are_followed_and_each_real_folder_is_read_once(self, lake: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere/deep").mkdir(parents=True)
        (tmp_path / "elsewhere/deep/b.png").write_bytes(picture(30))
        for link, target in {"a/link": "elsewhere", "a/again": "elsewhere/deep", "a/b/up": "a", "a/c": "none"}.items():
            (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / link).symlink_to(tmp_path / target)
        (tmp_path / "a/z.png").symlink_to(tmp_path / "photos/a.png")
        found = [os.path.relpath(item.name, tmp_path) for item in find_shards(tmp_path / "a").items]
        assert found == ["a/z.png", "a/again/b.png"]

    def test_an_archive_without_images_is_named(self, tmp_path: Path) -> None:
        path = save_tar(tmp_path / "0.tar", {"a.txt": b"x"})
        assert [getattr(source, "problem", "") for source in sources_of(path)] == [f"'{path}' holds no images"]

    def test_what_is_missing(self, lake: Path) -> None:
        assert find_shards(f"{lake}/none/*.tar").problem == f"'{lake}/none/*.tar' matches nothing"
        found = find_shards(f"{lake}/none/{{0..2}}.png")
        assert found.is_empty and found.problem == f"'{lake}/none/0.png' does not exist (and 2 more like it)"
        found = find_shards(f"{lake}/shards/{{000..003}}.tar")
        assert len(found.shards()) == 4 and found.problem == f"'{lake}/shards/002.tar' does not exist"

    def test_a_list_on_standard_input(self, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read, write = os.pipe()
        os.write(write, f"{lake}/shards/000.tar\n{lake}/photos/a.png\n".encode())
        os.close(write)
        with os.fdopen(read) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert greys(sources_of(find_shards(["-"]).items)) == [10, 30]

    def test_loose_files_are_numbered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finding, "LOOSE", 10)
        shards = find_shards([ShardImage(f"{n}.png", b"x") for n in range(11)]).shards()
        assert [(shard.name, len(list(shard.entries()))) for shard in shards] == [
            ("files-00000", 10),
            ("files-00001", 1),
        ]


class TestTar:
    @pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
    def test_members_keys_and_sidecars(self, tmp_path: Path, suffix: str) -> None:
        members = {**samples([10, 20]), "a/.hidden.png": picture(2), "a/" + "ü" * 150 + ".PNG": picture(1)}
        path = save_tar(tmp_path / f"0.{suffix}", members, "w" + suffix[3:].replace(".", ":"))
        found = list(TarShard(str(path), ["caption", "txt", "key", "tags", "gone"]).entries())
        assert [entry.name for entry in found[:2]] == [f"{path}::0000.png", f"{path}::0001.png"]
        assert found[1].kept == {"caption": "grey 20", "txt": "text 1", "key": "0001", "tags": ["a"], "gone": None}
        assert greys(found) == [10, 20, 1]

    @pytest.mark.parametrize("cut", range(1, 10, 2))
    def test_truncated_wherever_it_is_cut(self, tmp_path: Path, cut: int) -> None:
        path = save_tar(tmp_path / "0.tar", samples([10, 20, 30]))
        end = header_at(path, "0002.txt") + 1024
        path.write_bytes(path.read_bytes()[: end * cut // 10])
        *whole, last = TarShard(str(path)).entries()
        assert greys(whole) == [10, 20, 30][: len(whole)] and len(whole) >= cut // 4
        with pytest.raises(ImageError, match=r"0\.tar' is truncated.*was read"):
            last.read()

    @pytest.mark.parametrize("spoilt", [b"\xff" * 512, b"\0" * 512, b"JFIF" * 128])
    def test_a_wrong_header_is_named(self, tmp_path: Path, spoilt: bytes) -> None:
        path = save_tar(tmp_path / "0.tar", samples([10, 20, 30]))
        data, at = bytearray(path.read_bytes()), header_at(path, "0001.png")
        data[at : at + 512] = spoilt
        path.write_bytes(data)
        first, lost = TarShard(str(path)).entries()
        assert greys([first]) == [10]
        with pytest.raises(ImageError, match=r"damaged \(a wrong header at byte [0-9]+\); the part before"):
            lost.read()

    def test_members_outside_and_links_are_not_scored(self, tmp_path: Path) -> None:
        members = {"../x.png": picture(1), "/etc/y.png": picture(2), "a/../../z.png": picture(3), "w.png": picture(4)}
        path = save_tar(tmp_path / "0.tar", {**members, "link.png": None})
        *outside, inside, link = TarShard(str(path)).entries()
        for entry in outside:
            with pytest.raises(ImageError, match="its name points outside of its archive"):
                entry.read()
        assert greys([inside]) == [4]
        with pytest.raises(ImageError, match="is a link or a device"):
            link.read()

    @pytest.mark.parametrize("content", [b"", b"no archive at all" * 100, picture(1), b"\x1f\x8b\x08"])
    def test_no_archive(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "0.tar"
        path.write_bytes(content)
        with pytest.raises(ShardError, match="is not a tar archive"):
            list(TarShard(str(path)).entries())
        assert list(TarShard(str(save_tar(path, {"a.txt": b"x"}))).entries()) == []


class TestParquet:
    def test_bytes_and_structs(self, tmp_path: Path) -> None:
        columns = {"id": [1, 2, 3], "w": [0.5] * 3, "jpg": [picture(10), picture(20), None]}
        plain = save_parquet(tmp_path / "plain.parquet", columns)
        structs = [{"bytes": picture(10), "path": "x.png"}, {"bytes": picture(20), "path": None}, None]
        huggingface = save_parquet(tmp_path / "hf.parquet", {"label": [0, 1, 2], "image": structs})
        for path in (plain, huggingface):
            first, second, last = ParquetShard(str(path), ["id", "w"] if path is plain else ()).entries()
            assert greys([first, second]) == [10, 20] and last.name == f"{path}::2"
            assert first.kept == ({"id": 1, "w": 0.5} if path is plain else {})
            with pytest.raises(ImageError, match="without an image"):
                last.read()

    def test_which_column(self, tmp_path: Path) -> None:
        path = str(save_parquet(tmp_path / "x.parquet", {"hash": [b"1"], "image": [picture(9)], "foo": [picture(8)]}))
        assert greys(ParquetShard(path).entries()) == [9] and greys(ParquetShard(path, (), "foo").entries()) == [8]
        for columns, given, message in (
            ({"one": [b"1"], "two": [b"2"]}, ((), None), "must have one column of images .*; its columns are one, two"),
            ({"id": [1], "caption": ["a"]}, ((), None), "must have one column of images .* are id, caption"),
            ({"id": [1], "caption": ["a"]}, ((), "id"), "no column 'id' of images: its columns are id, caption"),
            ({"img": [picture(1)]}, (["x"], None), "no column 'x' to keep: its columns are img"),
        ):
            save_parquet(Path(path), columns)
            with pytest.raises(ShardError, match=message):
                list(ParquetShard(path, *given).entries())

    def test_no_parquet_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").write_bytes(b"PAR1 but no more")
        with pytest.raises(ShardError, match="is not a Parquet file, or it is damaged"):
            list(ParquetShard(str(tmp_path / "x.parquet")).entries())


def test_embeddings_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((5, 8), np.float32))
    with pytest.raises(ShardError, match="embeddings"):
        list(find_shards(str(path)).items[0].entries())
    for given, message in (((8, "RN50", ["x"]), "has no columns, so x cannot be kept"), ((9, "RN50"), "has 9 floats")):
        with pytest.raises(ShardError, match=message):
            list(EmbeddingsShard(str(path), *given[2:]).blocks(*given[:2]))
    for content in (path.read_bytes()[:-9], b"nothing"):
        path.write_bytes(content)
        with pytest.raises(ShardError, match="is not a file of features, or it is damaged"):
            list(EmbeddingsShard(str(path)).blocks(8, "RN50"))


class _Own:
    name = "own"

    def __init__(self) -> None:
        self.made = 0

    def entries(self) -> Iterator[ImageSource]:
        for number in range(50):
            self.made += 1
            yield ShardImage(f"own::{number}", bytes(1000))


def test_reading_ahead_is_bounded_in_bytes_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipiqa_pyiqa.sources.inputs._LEAST", 1)
    shard, before = _Own(), set(threading.enumerate())
    ahead = read_ahead(shard, most_bytes=5000)
    next(ahead)
    time.sleep(0.1)
    assert shard.made <= 8
    ahead.close()
    time.sleep(0.1)
    assert shard.made <= 8 and set(threading.enumerate()) <= before


class TestStores:
    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(ShardError, match=r"'gs://b/x.tar' cannot be read: Please install gcsfs"):
            find_shards("gs://b/x.tar")
        with pytest.raises(ShardError, match="Protocol not known"):
            find_shards("nosuch://b/x.tar")

    def test_a_store_that_refuses(self) -> None:
        pytest.importorskip("aiohttp")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar"
        with pytest.raises(ShardError, match=r"x\.tar' cannot be read: "):
            list(find_shards(address).items[0].entries())


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path) -> None:
    from PIL import Image

    assert ".heic" not in unreadable_suffixes()
    path = tmp_path / "a.heic"
    Image.new("RGB", (64, 48), (90,) * 3).save(path, "HEIF", quality=95)
    record = read_image(path)
    assert record.size == (64, 48) and abs(int(record.pixels[0, 5, 5]) - 90) <= 2
