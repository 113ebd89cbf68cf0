"""Shards: what arguments stand for, and what is read out of tar archives, Parquet files and stores."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from shard_makers import header_at, picture, samples, save_parquet, save_tar

from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images.formats import skipped_note, unreadable_suffixes
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.images.source import ImageSource
from clipiqa_pyiqa.sources.embeddings import EmbeddingsShard
from clipiqa_pyiqa.sources.finding import expanded, find_shards
from clipiqa_pyiqa.sources.inputs import read_ahead, sources_of
from clipiqa_pyiqa.sources.members import Entry, ShardError
from clipiqa_pyiqa.sources.parquet import ParquetShard
from clipiqa_pyiqa.sources.tar import TarShard


def greys(sources: Any) -> list[int]:
    return [int(read_image(source, min_side=1).pixels[0, 0, 0]) for source in sources]


def names(sources: Any) -> list[str]:
    return [source.name.rsplit("/", 1)[-1] for source in sources]


class TestPatterns:
    def test_braces(self) -> None:
        assert list(expanded("s/{08..10}.tar")) == ["s/08.tar", "s/09.tar", "s/10.tar"]
        assert list(expanded("{a,b}/{2..0}")) == ["a/2", "a/1", "a/0", "b/2", "b/1", "b/0"]


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
        given = [f"{lake}/photos", f"{lake}/shards/{{000..001}}.tar", f"{lake}/table.parquet", f"{lake}/shards/*.tar"]
        found = find_shards(given)
        assert names(found.items) == ["a.png", "000.tar", "001.tar", "table.parquet", "003.tar"]
        assert [type(shard).__name__ for shard in found.shards()] == ["TarShard"] * 2 + [
            "ParquetShard",
            "TarShard",
            "FilesShard",
        ]
        assert greys(sources_of(found.items)) == [30, 10, 10, 20, 10]

    def test_raw_files_are_counted_and_named(self, lake: Path) -> None:
        found = find_shards(f"{lake}/photos")
        assert found.skipped == {".cr2": 2, ".nef": 1}
        assert skipped_note(found.skipped) == "3 skipped: .cr2, .nef; convert them to PNG or TIFF"
        assert "install pillow-heif" in skipped_note({".heic": 1})

    def test_a_folder_without_images_means_its_shards(self, lake: Path) -> None:
        assert names(find_shards(f"{lake}/shards").items) == ["000.tar", "001.tar", "003.tar"]

    def test_file_addresses(self, lake: Path) -> None:
        assert greys(sources_of([f"file://{lake}/photos/a.png", f"file://{lake}/shards/{{000..001}}.tar"])) == [
            30,
            10,
            10,
        ]
        assert names(find_shards(f"file://{lake}/shards/*.tar").items) == ["000.tar", "001.tar", "003.tar"]

    def test_a_pattern_that_matches_nothing(self, lake: Path) -> None:
        found = find_shards(f"{lake}/none/{{000..099}}.tar")
        assert found.is_empty and found.problem == f"'{lake}/none/{{000..099}}.tar' matches nothing"

    def test_missing_shards_of_a_pattern_are_named(self, lake: Path) -> None:
        found = find_shards(f"{lake}/shards/{{000..003}}.tar")
        assert len(found.items) == 4 and found.problem == f"'{lake}/shards/002.tar' does not exist"
        assert len(found.shards()) == 4 and not found.is_empty

    def test_a_list_on_standard_input(self, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read, write = os.pipe()
        os.write(write, f"{lake}/shards/000.tar\n{lake}/photos/a.png\n".encode())
        os.close(write)
        with os.fdopen(read) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert greys(sources_of(find_shards(["-"]).items)) == [10, 30]

    def test_loose_files_are_numbered(self) -> None:
        shards = find_shards([Entry(f"{n}.png", b"x") for n in range(10_001)]).shards()
        assert [(shard.name, len(list(shard.entries()))) for shard in shards] == [
            ("files-00000", 10_000),
            ("files-00001", 1),
        ]


class TestTar:
    def test_members_keys_and_sidecars(self, tmp_path: Path) -> None:
        path = save_tar(tmp_path / "0.tar", samples([10, 20]))
        found = list(TarShard(str(path), ["caption", "txt", "key", "tags", "gone"]).entries())
        assert [entry.name for entry in found] == [f"{path}::0000.png", f"{path}::0001.png"]
        assert found[1].kept == {"caption": "grey 20", "txt": "text 1", "key": "0001", "tags": ["a"], "gone": None}
        assert greys(found) == [10, 20]

    @pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
    def test_compressed(self, tmp_path: Path, compression: str) -> None:
        path = save_tar(tmp_path / f"0.tar.{compression}", samples([10, 20]), f"w:{compression}")
        assert greys(TarShard(str(path)).entries()) == [10, 20]

    def test_long_and_odd_names_and_folders(self, tmp_path: Path) -> None:
        members = {
            "a/" + "ü" * 150 + ".png": picture(1),
            "a/.hidden.png": picture(2),
            "a/x.RAW.PNG": picture(3),
            "b.cr2": b"x",
        }
        shard = TarShard(str(save_tar(tmp_path / "0.tar", members)))
        assert greys(shard.entries()) == [1, 3] and shard.skipped == {".cr2": 1}

    def test_an_archive_that_holds_no_image(self, tmp_path: Path) -> None:
        assert list(TarShard(str(save_tar(tmp_path / "0.tar", {"a.txt": b"x"}))).entries()) == []

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
    def test_a_wrong_header_in_the_middle_costs_its_member_only(self, tmp_path: Path, spoilt: bytes) -> None:
        path = save_tar(tmp_path / "0.tar", samples([10, 20, 30]))
        data, at = bytearray(path.read_bytes()), header_at(path, "0001.png")
        data[at : at + 512] = spoilt
        path.write_bytes(data)
        first, lost, last = TarShard(str(path)).entries()
        assert greys([first, last]) == [10, 30]
        with pytest.raises(ImageError, match=r"::byte [0-9]+' is a damaged header.* is lost, all other data was read"):
            lost.read()

    def test_a_member_outside_is_not_scored(self, tmp_path: Path) -> None:
        members = {"../x.png": picture(1), "/etc/y.png": picture(2), "a/../../z.png": picture(3), "w.png": picture(4)}
        found = list(TarShard(str(save_tar(tmp_path / "0.tar", members))).entries())
        for entry in found[:3]:
            with pytest.raises(ImageError, match="its name points outside of its archive"):
                entry.read()
        assert greys(found[3:]) == [4]

    def test_a_link_is_no_image(self, tmp_path: Path) -> None:
        path = tmp_path / "0.tar"
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("a.png")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
        with pytest.raises(ImageError, match="is a link or a device"):
            next(TarShard(str(path)).entries()).read()

    @pytest.mark.parametrize("content", [b"", b"no archive at all" * 100, picture(1), b"\x1f\x8b\x08"])
    def test_no_archive(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "0.tar"
        path.write_bytes(content)
        with pytest.raises(ShardError, match="is not a tar archive"):
            list(TarShard(str(path)).entries())


class TestParquet:
    def test_bytes_structs_and_paths(self, tmp_path: Path) -> None:
        (tmp_path / "c.png").write_bytes(picture(30))
        plain = save_parquet(tmp_path / "plain.parquet", {"id": [1, 2, 3], "jpg": [picture(10), picture(20), None]})
        structs = [{"bytes": picture(10), "path": "x.png"}, {"bytes": None, "path": "c.png"}, None]
        huggingface = save_parquet(tmp_path / "hf.parquet", {"label": [0, 1, 2], "image": structs})
        paths = save_parquet(tmp_path / "paths.parquet", {"file_name": ["c.png", str(tmp_path / "c.png"), "gone.png"]})
        first = list(ParquetShard(str(plain), ["id"]).entries())
        assert greys(first[:2]) == [10, 20] and [entry.kept for entry in first] == [{"id": 1}, {"id": 2}, {"id": 3}]
        assert [entry.name for entry in first] == [f"{plain}::{row}" for row in range(3)]
        assert greys(list(ParquetShard(str(huggingface)).entries())[:2]) == [10, 30]
        by_path = list(ParquetShard(str(paths)).entries())
        assert greys(by_path[:2]) == [30, 30] and by_path[0].kept == {"file_name": "c.png"}
        for entry, message in ((first[2], "without an image"), (by_path[2], r"gone\.png', which does not exist")):
            with pytest.raises(ImageError, match=message):
                entry.read()

    def test_no_column_of_images_says_which_there_are(self, tmp_path: Path) -> None:
        path = save_parquet(tmp_path / "x.parquet", {"id": [1], "caption": ["a"]})
        with pytest.raises(ShardError, match=r"no column of images .*: its columns are id, caption; give image_column"):
            list(ParquetShard(str(path)).entries())
        with pytest.raises(ShardError, match="no column 'id' of images or paths: its columns are id, caption"):
            list(ParquetShard(str(path), (), "id").entries())
        with pytest.raises(ShardError, match="no column 'x' to keep: its columns are"):
            list(ParquetShard(str(save_parquet(path, {"img": [picture(1)]})), ["x"]).entries())

    def test_several_columns_of_bytes(self, tmp_path: Path) -> None:
        path = str(save_parquet(tmp_path / "x.parquet", {"hash": [b"1"], "image": [picture(9)], "foo": [picture(8)]}))
        assert greys(ParquetShard(path).entries()) == [9] and greys(ParquetShard(path, (), "foo").entries()) == [8]
        other = str(save_parquet(tmp_path / "y.parquet", {"one": [b"1"], "two": [b"2"]}))
        with pytest.raises(ShardError, match="several columns that may hold images, one, two"):
            list(ParquetShard(other).entries())

    def test_no_parquet_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        path.write_bytes(b"PAR1 but no more")
        with pytest.raises(ShardError, match="is not a Parquet file, or it is damaged"):
            list(ParquetShard(str(path)).entries())


class TestEmbeddings:
    def test_clip_retrieval_and_datacomp(self, tmp_path: Path) -> None:
        features = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
        (tmp_path / "cr/img_emb").mkdir(parents=True)
        (tmp_path / "cr/text_emb").mkdir()
        np.save(tmp_path / "cr/img_emb/img_emb_0.npy", features)
        np.save(tmp_path / "cr/text_emb/text_emb_0.npy", features)
        save_parquet(tmp_path / "cr/metadata/metadata_0.parquet", {"caption": list("abcde")})
        (shard,) = find_shards(f"{tmp_path}/cr", keep=["caption"], features=True).items
        ((first, found, kept),) = shard.blocks(8, "RN50")
        assert first == 0 and np.array_equal(found, features.astype(np.float32)) and kept[4] == {"caption": "e"}
        (tmp_path / "dc").mkdir()
        np.savez(tmp_path / "dc/0f.npz", b32_img=features, l14_img=np.zeros((5, 9), np.float16), b32_txt=features)
        save_parquet(tmp_path / "dc/0f.parquet", {"uid": list("vwxyz")})
        (shard,) = find_shards(f"{tmp_path}/dc", keep=["uid"], features=True).items
        assert next(shard.blocks(8, "ViT-B/32"))[2][0] == {"uid": "v"}
        with pytest.raises(ShardError, match=r"features of shape \(5, 9\), but ViT-L/14 has 8 floats"):
            next(shard.blocks(8, "ViT-L/14"))
        with pytest.raises(ShardError, match="no features of RN50: it holds b32_img, l14_img, b32_txt"):
            next(shard.blocks(8, "RN50"))

    def test_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npy"
        np.save(path, np.zeros((5, 8), np.float32))
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ShardError, match="is not a file of features, or it is damaged"):
            list(EmbeddingsShard(str(path)).blocks(8, "RN50"))
        path.write_bytes(b"nothing")
        with pytest.raises(ShardError, match="is not a file of features"):
            list(EmbeddingsShard(str(path)).blocks(8, "RN50"))
        with pytest.raises(ShardError, match="set embeddings"):
            list(find_shards(str(path)).items[0].entries())


class _Own:
    name = "own"

    def __init__(self, sizes: list[int], pause: float = 0) -> None:
        self.sizes, self.pause, self.made = sizes, pause, 0

    def entries(self) -> Iterator[ImageSource]:
        for number, size in enumerate(self.sizes):
            time.sleep(self.pause)
            self.made += 1
            yield Entry(f"own::{number}", bytes(size))


class TestAhead:
    def test_bounded_in_bytes(self) -> None:
        shard = _Own([1000] * 50)
        ahead = read_ahead(shard, most_bytes=5000)
        next(ahead)
        time.sleep(0.1)
        assert shard.made <= 8
        assert len(list(ahead)) == 49

    def test_a_store_that_stalls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLIPIQA_STORE_TIMEOUT", "0.2")
        with pytest.raises(ShardError, match=r"'own' stalls: its store has sent nothing for 0.2 seconds"):
            list(read_ahead(_Own([1], pause=2)))

    def test_whoever_stops_taking_stops_the_reading(self) -> None:
        shard, before = _Own([1000] * 50), set(threading.enumerate())
        ahead = read_ahead(shard, most_bytes=2000)
        next(ahead)
        ahead.close()
        time.sleep(0.1)
        assert shard.made < 8 and set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server on the loopback, with two shards, a table and photos."""
    if find_spec("moto") is None or find_spec("s3fs") is None or find_spec("flask") is None:
        pytest.skip("moto[server] and s3fs are not installed")
    import s3fs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    patch = pytest.MonkeyPatch()
    for name, value in (
        *(("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1")),
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"),
    ):
        patch.setenv(name, value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        fs, folder = s3fs.S3FileSystem(), tmp_path_factory.mktemp("s3")
        fs.mkdir("lake")
        for number in range(2):
            shard = save_tar(folder / f"{number}.tar", samples([10 * number + 10, 10 * number + 15]))
            fs.put(str(shard), f"lake/shards/{number:03d}.tar")
        fs.put(str(save_parquet(folder / "t.parquet", {"image": [picture(50)]})), "lake/t.parquet")
        fs.pipe("lake/photos/a.png", picture(60))
        fs.pipe("lake/photos/b.nef", b"x")
        yield "s3://lake"
    finally:
        server.kill()
        server.wait()
        patch.undo()


class TestStores:
    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(ShardError, match=r"'gs://b/x.tar' cannot be read: Please install gcsfs"):
            find_shards("gs://b/x.tar")
        with pytest.raises(ShardError, match="Protocol not known"):
            find_shards("nosuch://b/x.tar")

    def test_a_store_that_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("aiohttp")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar"
        with pytest.raises(ShardError, match=r"x\.tar' cannot be read: "):
            list(find_shards(address).items[0].entries())

    def test_an_object_store(self, bucket: str) -> None:
        given = [
            f"{bucket}/shards/{{000..001}}.tar",
            f"{bucket}/t.parquet",
            f"{bucket}/photos",
            f"{bucket}/shards/*.tar",
        ]
        found = find_shards(given)
        assert names(found.items) == ["000.tar", "001.tar", "t.parquet", "a.png"] and found.skipped == {".nef": 1}
        assert greys(sources_of(found.items)) == [10, 15, 20, 25, 50, 60]
        assert names(find_shards(f"{bucket}/shards").items) == ["000.tar", "001.tar"]

    def test_what_is_not_in_it(self, bucket: str) -> None:
        assert find_shards(f"{bucket}/no*.tar").problem == f"'{bucket}/no*.tar' matches nothing"
        with pytest.raises(ShardError, match=r"gone\.tar' does not exist"):
            list(find_shards(f"{bucket}/gone.tar").items[0].entries())
        with pytest.raises(ImageError, match=r"gone\.png' does not exist"):
            find_shards(f"{bucket}/gone.png").items[0].read()


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path) -> None:
    from PIL import Image

    assert ".heic" not in unreadable_suffixes()
    path = tmp_path / "a.heic"
    Image.new("RGB", (64, 48), (90,) * 3).save(path, "HEIF", quality=95)
    record = read_image(path)
    assert record.size == (64, 48) and abs(int(record.pixels[0, 5, 5]) - 90) <= 2


def test_types_of_kept_columns_survive(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "x.parquet", {"img": pyarrow.array([picture(1)]), "w": pyarrow.array([0.5])})
    assert next(iter(ParquetShard(str(path), ["w"]).entries())).kept == {"w": 0.5}


def test_patterns_of_too_many_names_are_refused() -> None:
    for pattern in ("{0..999999999}.tar", "{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}", "{9..0}" * 40):
        with pytest.raises(ImageError, match="at most 1,000,000 names"):
            list(expanded(pattern))
    assert list(expanded("{8..10}{a,b}")) == ["8a", "8b", "9a", "9b", "10a", "10b"]
    assert list(expanded("{1.." + "9" * 5000 + "}")) == ["{1.." + "9" * 5000 + "}"]  # a name like any other
