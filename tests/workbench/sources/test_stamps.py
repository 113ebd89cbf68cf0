"""Stamps: texts that change when the content of a file, a member or a shard changes."""

import os

import fsspec
from shard_makers import picture, samples, save_tar
from stores import register_elsewhere
from weights_fakes import Response

from clipiqa_pyiqa.workbench.images.image import BytesImage, File
from clipiqa_pyiqa.workbench.images.stamp import MISSING, UNKNOWN
from clipiqa_pyiqa.workbench.sources.finding import find_sources
from clipiqa_pyiqa.workbench.sources.image_files import image_at
from clipiqa_pyiqa.workbench.sources.shard_images import images_in

pytest_plugins = ["weights_fakes"]


def test_a_file_has_another_stamp_after_it_was_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    source = File(str(path))
    stamps = [source.stamp(), source.stamp()]
    path.write_bytes(b"three")
    stamps.append(source.stamp())
    os.utime(path, ns=(0, 0))
    stamps.append(source.stamp())
    assert stamps[0] == stamps[1] and len(set(stamps)) == 3
    path.unlink()
    assert source.stamp() == MISSING


def test_what_is_in_memory_has_no_stamp():
    entry = BytesImage("b.png", b"x")
    assert entry.stamp() == UNKNOWN and not entry.stamp().is_known


def test_a_member_has_the_stamp_of_its_shard(tmp_path):
    path = save_tar(tmp_path / "0.tar", samples([10, 20]))
    assert {member.stamp() for member in images_in(find_sources(path).sources)} == {File(str(path)).stamp()}


def test_a_store_that_keeps_its_listings_is_asked_anew_in_the_next_run(tmp_path):
    register_elsewhere()
    save_tar(tmp_path / "0.tar", samples([10]))
    addresses = [f"elsewhere://{tmp_path}/0.tar"], [f"elsewhere://{tmp_path}/*.tar"], f"elsewhere://{tmp_path}"
    stamps = [find_sources(address).sources[0].stamp() for address in addresses]
    save_tar(tmp_path / "0.tar", samples([10, 20, 30, 40]))
    later = [find_sources(address).sources[0].stamp() for address in addresses]
    assert len({*stamps}) == len({*later}) == 1 and stamps[0] != later[0]


def test_finding_shards_makes_no_request_for_each_name():
    assert len(find_sources("http://127.0.0.1:1/{0000..9999}.tar").sources) == 10_000


def test_a_web_server_gives_size_with_checksum_or_time(server):
    for headers, stamp in [({"ETag": "mark"}, "7 mark"), ({"Last-Modified": "mark"}, "7 mark"), ({}, UNKNOWN)]:
        server.responses["/a.png"] = Response(b"7 bytes", headers=headers)
        assert image_at(f"{server.url}/a.png").stamp() == stamp
        assert image_at(f"{server.url}/gone.png").stamp() == MISSING


def test_a_server_that_cannot_be_reached_gives_no_stamp():
    assert image_at("http://127.0.0.1:1/a.png").stamp() == UNKNOWN


def test_an_object_has_another_stamp_after_it_was_replaced():
    stamps = []
    for _ in range(2):
        fsspec.filesystem("memory").pipe("/stamps/a.png", picture(10))
        stamps.append(image_at("memory://stamps/a.png").stamp())
    assert all(stamp.is_known for stamp in stamps) and stamps[0] != stamps[1]
