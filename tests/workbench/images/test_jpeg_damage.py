"""Damage inside JPEGs is noticed, good JPEGs of every kind are not called damaged, and the pixels stay PIL's."""

import io
import random
from types import SimpleNamespace

import numpy as np
import pytest
from photos import PHOTOS
from PIL import Image

from clipiqa_pyiqa.workbench.images import jpeg as jpeg_module
from clipiqa_pyiqa.workbench.images.jpeg import decode_jpeg

pytestmark = pytest.mark.quick

KINDS = {
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2},
    "4:1:1": {"subsampling": "4:1:1"},
    "worst": {"quality": 1},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
}


@pytest.fixture(autouse=True)
def _with_simplejpeg():
    pytest.importorskip("simplejpeg")


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


def photo(index=0):
    return Image.open(PHOTOS[index]).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_good_files_are_fine_and_their_pixels_are_pils(kind, mode):
    images = [photo(0), photo(1).crop((3, 5, 120, 90)), Image.new("RGB", (333, 222)), Image.new("RGB", (64, 99), "red")]
    for image in images:
        data = jpeg(image.convert(mode), **KINDS[kind])
        pixels, damage = decode_jpeg(data, mode)
        assert not damage and pixels is not None
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_oddities_around_a_good_picture_are_no_damage():
    for kind in ["4:2:0", "progressive", "restart markers"]:
        data = jpeg(photo(), **KINDS[kind])
        version = data.index(b"JFIF") + 5
        odd = {
            "bytes behind the end marker": data + random.Random(0).randbytes(5000),
            "another JPEG behind it": data + data,
            "no end marker": data[:-2],
            "zeros before the end marker": data[:-2] + bytes(900) + data[-2:],
            "fill bytes before the end marker": data[:-2] + b"\xff" * 9 + data[-2:],
            "an unknown version of JFIF": data[:version] + b"\x07" + data[version + 1 :],
            "bytes between two headers": data[:20] + b"abc" + data[20:],
            "zeros in a header": data[:2] + b"\xff\xfe\x10\x02" + bytes(4096) + data[2:],
        }
        assert {name: damage for name, file in odd.items() if (damage := decode_jpeg(file, "RGB")[1])} == {}


def test_most_zeroed_bytes_and_half_a_file_are_damage():
    for photo_file in PHOTOS:
        data = photo_file.read_bytes()
        start = data.rindex(b"\xff\xda") + 20
        places = range(start, len(data) - 402, 101)
        noticed = [bool(decode_jpeg(data[:at] + bytes(400) + data[at + 400 :], "RGB")[1]) for at in places]
        assert sum(noticed) > 0.9 * len(places)
        half = data[: (start + len(data)) // 2] + b"\xff\xd9"
        Image.open(io.BytesIO(half)).load()  # in silence
        assert "premature end" in decode_jpeg(half, "RGB")[1]


@pytest.mark.parametrize("decoder", [None, "another"])
def test_pixels_are_left_to_pil_without_its_decoder(monkeypatch, decoder):
    real = jpeg_module.simplejpeg.decode_jpeg
    another = SimpleNamespace(decode_jpeg=lambda *args, **options: real(*args, **options) ^ 1)
    monkeypatch.setattr(jpeg_module, "simplejpeg", decoder and another)
    monkeypatch.setattr(jpeg_module, "is_equal_to_pil", jpeg_module.is_equal_to_pil.__wrapped__)  # not cached
    assert decode_jpeg(PHOTOS[0].read_bytes(), "RGB") == (None, "")
