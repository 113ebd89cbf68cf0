"""Damage inside JPEGs is noticed, good JPEGs of every kind are not called damaged, and the pixels stay PIL's."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipiqa_pyiqa.images import jpeg_damage
from clipiqa_pyiqa.images.jpeg_damage import decode_jpeg

PHOTOS = sorted((Path(__file__).parents[1] / "data").glob("*.jpg"))
KINDS: dict[str, dict[str, object]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "4:1:1": {"subsampling": "4:1:1"},
    "best": {"quality": 100},
    "worst": {"quality": 1},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
}


@pytest.fixture(autouse=True)
def _with_simplejpeg() -> None:
    pytest.importorskip("simplejpeg")


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


def photo(index: int = 0) -> Image.Image:
    return Image.open(PHOTOS[index]).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_good_files_are_fine_and_their_pixels_are_pils(kind: str, mode: str) -> None:
    images = [photo(0), photo(1).crop((3, 5, 120, 90)), Image.new("RGB", (333, 222)), Image.new("RGB", (64, 99), "red")]
    for image in images:
        data = jpeg(image.convert(mode), **KINDS[kind])
        decoded = decode_jpeg(data, mode)
        assert decoded.damage is None
        assert (decoded.pixels is None) == (mode == "CMYK")
        if decoded.pixels is not None:
            np.testing.assert_array_equal(decoded.pixels.squeeze(), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "restart markers"])
def test_oddities_around_a_good_picture_are_no_damage(kind: str) -> None:
    data = jpeg(photo(), **KINDS[kind])
    version = data.index(b"JFIF") + 5
    odd = {
        "bytes behind the end marker": data + random.Random(0).randbytes(5000),
        "zeros behind the end marker": data + bytes(5000),
        "another JPEG behind it": data + data,
        "no end marker": data[:-2],
        "zeros before the end marker": data[:-2] + bytes(900) + data[-2:],
        "fill bytes before the end marker": data[:-2] + b"\xff" * 9 + data[-2:],
        "an unknown version of JFIF": data[:version] + b"\x07" + data[version + 1 :],
        "bytes between two headers": data[:20] + b"abc" + data[20:],
        "zeros in a header": data[:2] + b"\xff\xfe\x10\x02" + bytes(4096) + data[2:],
    }
    assert {name: damage for name, file in odd.items() if (damage := decode_jpeg(file, "RGB").damage)} == {}


@pytest.mark.parametrize("photo_file", PHOTOS, ids=lambda path: path.stem)
def test_zeroed_bytes_and_half_a_file_are_damage(photo_file: Path) -> None:
    data = photo_file.read_bytes()
    start = data.rindex(b"\xff\xda") + 20
    for at in range(start, len(data) - 402, 101):
        bad = data[:at] + bytes(400) + data[at + 400 :]
        Image.open(io.BytesIO(bad)).load()  # in silence
        assert decode_jpeg(bad, "RGB").damage, at
    half = data[: (start + len(data)) // 2] + b"\xff\xd9"
    Image.open(io.BytesIO(half)).load()
    assert "premature end" in (decode_jpeg(half, "RGB").damage or "")


def test_damage_is_not_hidden_by_an_oddity_before_it() -> None:
    data = jpeg(photo())
    version = data.index(b"JFIF") + 5
    bad = data[:version] + b"\x07" + data[version + 1 : len(data) // 2] + b"\xff\xd9"
    assert "premature end" in (decode_jpeg(bad, "RGB").damage or "")


def test_a_lost_restart_segment_is_damage() -> None:
    data = jpeg(photo(), restart_marker_rows=1)
    first, second = data.rindex(b"\xff\xd1"), data.rindex(b"\xff\xd2")
    assert decode_jpeg(data[:first] + data[second:], "RGB").damage


def test_zeros_are_noticed_without_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    data = PHOTOS[0].read_bytes()
    at = data.rindex(b"\xff\xda") + 1000
    monkeypatch.setattr(jpeg_damage, "simplejpeg", None)
    jpeg_damage.same_pixels_as_pil.cache_clear()
    try:
        assert decode_jpeg(data, "RGB") == (None, None)
        assert (
            decode_jpeg(data[:at] + bytes(400) + data[at + 400 :], "RGB").damage == "400 zero bytes inside the picture"
        )
    finally:
        jpeg_damage.same_pixels_as_pil.cache_clear()


def test_pixels_are_left_to_pil_where_the_decoders_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    real = jpeg_damage.simplejpeg.decode_jpeg

    class Other:
        @staticmethod
        def decode_jpeg(*args: object, **options: object) -> np.ndarray:
            return real(*args, **options) ^ 1

    monkeypatch.setattr(jpeg_damage, "simplejpeg", Other)
    jpeg_damage.same_pixels_as_pil.cache_clear()
    try:
        assert decode_jpeg(PHOTOS[0].read_bytes(), "RGB") == (None, None)
    finally:
        jpeg_damage.same_pixels_as_pil.cache_clear()
