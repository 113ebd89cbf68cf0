"""The image reader: equal to pyiqa's on plain files, explicit on all others, strict about damage."""

import struct

import pytest
from assertions import refused
from photos import BUNDLED, dng
from PIL import Image, ImageFile

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.images.formats import image_suffixes
from clipiqa_pyiqa.workbench.images.image import read_image

pytestmark = pytest.mark.quick


@pytest.fixture
def photo():
    with Image.open(BUNDLED / "canyon-wren.jpg") as image:
        return image.convert("RGB")


@pytest.fixture
def saved(tmp_path):
    """Writes an image, or bytes, and returns the path."""

    def save(content, name, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **options)
        return path

    return save


def kind_of(path):
    """Why it cannot be read."""
    with pytest.raises(ImageError) as caught:
        read_image(path)
    return caught.value.kind


def change_tag(path, tag, kind, before, after):
    """Change a number of a TIFF's header; kind 3 has 16 bits, 4 has 32."""
    old = struct.pack("<HHII", tag, kind, 1, before)
    new = struct.pack("<HHII", tag, kind, 1, after)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


# Conversions


def test_32_bit_samples_are_refused_even_if_16_bits_hold_them(saved):
    for compression in [None, "tiff_lzw"]:
        for is_signed in [True, False]:
            assert kind_of(saved(Image.new("F", (40, 40), 0.5), "raw.tiff")) == Kind.UNCLEAR_SCALE
            path = saved(Image.new("I", (40, 40), 99), "count.tiff", compression=compression)
            if not is_signed:
                change_tag(path, 339, 3, 2, 1)
            assert kind_of(path) == Kind.UNCLEAR_SCALE


# Damage


def test_truncated(photo, saved, monkeypatch):
    for part in [0.3, 0.95]:
        for suffix in ["jpg", "png", "webp", "tiff", "bmp", "gif", "jp2"]:
            monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as pyiqa's data sets leave it
            path = saved(photo, f"cut.{suffix}")
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
            assert kind_of(path) in (Kind.DAMAGED, Kind.NOT_AN_IMAGE)


def test_what_is_no_image_is_refused(tmp_path, saved):
    for content, kind in (
        (b"", Kind.EMPTY),
        (b"just some text\n" * 100, Kind.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", Kind.NOT_AN_IMAGE),  # never runs Ghostscript
    ):
        assert kind_of(saved(content, "file.jpg")) == kind
    for name, kind in {"nothing.jpg": Kind.MISSING, "": Kind.NOT_A_FILE, "/dev/null": Kind.NOT_A_FILE}.items():
        assert kind_of(tmp_path / name) == kind


def test_under_32_pixels(photo, saved):
    for size in [(31, 400), (400, 31)]:
        assert kind_of(saved(photo.resize(size), "small.png")) == Kind.TOO_SMALL
        assert read_image(saved(photo.resize((32, 32)), "enough.png")).size == (32, 32)


def test_raw_files_are_refused_though_pil_reads_a_thumbnail_in_them(photo, saved):
    path = saved(dng(photo, compression=1), "a.DNG")
    with Image.open(path) as thumbnail:
        assert thumbnail.size == photo.size
    assert kind_of(path) is Kind.NOT_AN_IMAGE and "RAW" in refused(read_image, path)


def test_suffixes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"} <= image_suffixes()
    assert not {".pdf", ".eps", ".txt", ".csv", ".mp4", ""} & image_suffixes()
