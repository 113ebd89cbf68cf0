"""The image reader: equal to pyiqa's on plain files, explicit on all others, strict about damage."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from clipiqa_pyiqa.errors import ImageError, Kind
from clipiqa_pyiqa.images.formats import image_suffixes
from clipiqa_pyiqa.images.reader import read_image

pytestmark = pytest.mark.quick

DATA = Path(__file__).parents[1] / "data"
ORIENTATION = 0x0112
Write = Any


def array(record):
    return record.pixels.permute(1, 2, 0).numpy()


@pytest.fixture
def photo():
    with Image.open(DATA / "canyon-wren.jpg") as image:
        return image.convert("RGB")


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def saved(tmp_path):
    """Writes an image, or bytes, and returns the path."""

    def save(content, name, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            (Image.fromarray(content) if isinstance(content, np.ndarray) else content).save(path, **options)
        return path

    return save


def deep_samples():
    """(48, 64) 16-bit samples from 0 to 65535."""
    return np.linspace(0, 65535, 48 * 64).round().astype(np.uint16).reshape(48, 64)


class TestPlainRgb:
    @pytest.mark.parametrize("name", ["canyon-wren.jpg", "blue-periwinkle.jpg"])
    def test_equals_what_pyiqa_reads(self, name):
        from pyiqa.utils.img_util import imread2tensor

        record = read_image(DATA / name)
        theirs = imread2tensor(str(DATA / name), rgb=True)
        assert torch.equal(record.pixels.float().div(255), theirs)  # bit for bit: the same decoder, the same division
        assert record.converted == "" and record.pixels[None].is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "tga"])
    def test_lossless_formats_come_back_exactly(self, photo, saved, suffix):
        record = read_image(saved(photo, f"photo.{suffix}"))
        assert np.array_equal(array(record), np.asarray(photo))
        assert (record.width, record.height, record.size, record.converted) == (256, 144, (256, 144), "")

    def test_real_photos_equal_what_pyiqa_reads(self, shared):
        from pyiqa.utils.img_util import imread2tensor

        paths = sorted((shared / "data/photos").glob("*.jpg"))[::6] + sorted(
            (shared / "data/in_the_wild").glob("*.jpg")
        )
        for path in paths:
            assert torch.equal(read_image(path).pixels.float().div(255), imread2tensor(str(path), rgb=True)), path


class TestConversions:
    def test_grey(self, photo, saved):
        grey = photo.convert("L")
        record = read_image(saved(grey, "grey.png"))
        assert record.converted == "grey->rgb"
        for channel in record.pixels:
            assert np.array_equal(channel.numpy(), np.asarray(grey))

    def test_transparency_shows_white(self, saved):
        rgba = np.zeros((40, 40, 4), np.uint8)
        rgba[:, :, 0] = 200
        rgba[20:, :, 3] = 255
        rgba[10:20, :, 3] = 51  # a fifth
        pixels = array(read_image(saved(rgba, "half.png")))
        assert (pixels[:10] == 255).all()
        assert (pixels[20:] == [200, 0, 0]).all()
        assert (pixels[10:20] == [244, 204, 204]).all()  # 0.2 × (200, 0, 0) + 0.8 × 255

    def test_palette_with_a_transparent_entry(self, photo, saved):
        palette = photo.quantize(16)
        record = read_image(saved(palette, "palette.png", transparency=3))
        clear = np.asarray(palette) == 3
        assert clear.any() and (array(record)[clear] == 255).all()
        assert np.array_equal(array(record)[~clear], np.asarray(palette.convert("RGB"))[~clear])
        assert record.converted == "palette+alpha->rgb on white"

    @pytest.mark.parametrize("suffix", ["jpg", "tiff"])
    def test_cmyk(self, photo, saved, suffix):
        path = saved(photo.convert("CMYK"), f"press.{suffix}")
        record = read_image(path)
        assert record.converted == "cmyk->rgb"
        with Image.open(path) as image:
            assert np.array_equal(array(record), np.asarray(image.convert("RGB")))
        close = np.abs(array(record).astype(int) - np.asarray(photo)).mean()
        assert close < 3  # the same picture, not its negative; JPEG costs the rest

    @pytest.mark.parametrize("suffix", ["png", "tiff"])
    def test_16_bit_grey_keeps_the_high_byte(self, saved, suffix):
        record = read_image(saved(deep_samples(), f"deep.{suffix}"))
        assert record.converted == "16-bit grey->rgb"
        for channel in record.pixels:
            assert np.array_equal(channel.numpy(), deep_samples() >> 8)

    @pytest.mark.parametrize("suffix", ["png", "tiff"])
    def test_16_bit_colour_keeps_the_high_byte(self, tmp_path, suffix):
        import cv2  # Pillow cannot write 16-bit colour

        deep = np.dstack([deep_samples(), deep_samples()[::-1], deep_samples()[:, ::-1]])
        path = tmp_path / f"deep.{suffix}"
        assert cv2.imwrite(str(path), np.ascontiguousarray(deep[:, :, ::-1]))
        record = read_image(path)
        assert record.converted == "16-bit rgb->rgb"
        assert np.array_equal(array(record), deep >> 8)

    def test_12_bit_grey_keeps_its_upper_byte(self, saved):
        samples = (deep_samples() >> 4).reshape(-1, 2).astype(int)
        packed = np.stack([samples[:, 0] >> 4, (samples[:, 0] & 15) << 4 | samples[:, 1] >> 8, samples[:, 1] & 255], 1)
        fields = [(256, 64), (257, 48), (258, 12), (259, 1), (262, 1), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 48)]
        fields.append((279, packed.size))
        content = b"II*\0" + struct.pack("<IH", 8, len(fields))
        content += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields) + bytes(4)
        record = read_image(saved(content + packed.astype(np.uint8).tobytes(), "medical.tiff"))
        assert record.converted == "12-bit grey->rgb"
        assert np.array_equal(record.pixels[0].numpy(), deep_samples() >> 8)

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_samples_of_unclear_scale_are_refused(self, saved, dtype):
        samples = np.linspace(-1, 3e6, 40 * 40).reshape(40, 40).astype(dtype)
        with pytest.raises(ImageError) as caught:
            read_image(saved(samples, "raw.tiff"))
        assert caught.value.kind == Kind.UNCLEAR_SCALE

    @pytest.mark.parametrize("compression", [None, "tiff_lzw"])
    @pytest.mark.parametrize("dtype", [np.int32, np.uint32])
    def test_32_bit_samples_are_refused_even_if_16_bits_hold_them(self, saved, dtype, compression):
        samples = Image.fromarray(np.tile(np.arange(256, dtype=np.int32), (40, 1)))
        path = saved(samples, "count.tiff", compression=compression)
        if dtype == np.uint32:  # PIL writes SampleFormat (tag 339) 2, signed; 1 is unsigned
            signed, unsigned = (struct.pack("<HHIHH", 339, 3, 1, kind, 0) for kind in (2, 1))
            assert signed in path.read_bytes()
            path.write_bytes(path.read_bytes().replace(signed, unsigned))
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.kind == Kind.UNCLEAR_SCALE

    @pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
    def test_first_frame_of_several(self, photo, saved, suffix):
        options = {"lossless": True} if suffix == "webp" else {}
        others = [Image.new("RGB", photo.size, colour) for colour in ("red", "blue")]
        record = read_image(saved(photo, f"film.{suffix}", save_all=True, append_images=others, **options))
        assert record.converted.endswith("first frame")
        # A GIF's palette of 256 costs a few levels; the other frames would be a hundred off.
        assert np.abs(array(record).astype(int) - np.asarray(photo)).mean() < (8 if suffix == "gif" else 1e-9)

    def test_second_picture_of_a_phone_photo_is_no_animation(self, photo, saved):
        depth_map = photo.convert("L").resize((64, 36))
        record = read_image(saved(photo, "phone.jpg", format="MPO", save_all=True, append_images=[depth_map]))
        assert record.size == (256, 144) and record.converted == ""


class TestOrientation:
    @pytest.fixture
    def turned(self, photo, saved):
        def save(orientation, suffix):
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            return saved(photo, f"turned.{suffix}", exif=exif)

        return save

    # how the picture looks upright, in numpy's words
    UPRIGHT = {  # noqa: RUF012
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
        99: lambda a: a,  # nonsense
    }

    @pytest.mark.parametrize("orientation", UPRIGHT)
    @pytest.mark.parametrize("suffix", ["png", "tiff"])  # Pillow turns TIFFs by itself
    def test_applied_recorded_and_switchable(self, photo, turned, orientation, suffix):
        path = turned(orientation, suffix)
        upright, stored = read_image(path), read_image(path, apply_exif=False)
        assert np.array_equal(array(upright), self.UPRIGHT[orientation](np.asarray(photo)))
        assert (upright.width, upright.height) == upright.size == upright.pixels.shape[:0:-1]
        assert upright.orientation == stored.orientation == (orientation if orientation < 9 else 1)
        assert np.array_equal(array(stored), np.asarray(photo)) and stored.size == (256, 144)

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    def test_damaged_exif_does_not_cost_the_picture(self, photo, saved, suffix, caplog):
        content = b"not a TIFF header" if suffix == "png" else b"Exif\x00\x00not a TIFF header"
        record = read_image(saved(photo, f"bad-exif.{suffix}", exif=content))
        assert (record.orientation, record.size) == (1, (256, 144))
        assert suffix != "png" or "damaged EXIF data" in caplog.text


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "size"),
        [
            ({"max_side": 128}, (128, 72)),
            ({"max_side": 256}, (256, 144)),
            ({"max_side": 1000}, (256, 144)),
            ({"max_pixels": 256 * 144}, (256, 144)),
            ({"max_pixels": 9216}, (128, 72)),
            ({"max_pixels": 9215}, (127, 71)),
            ({"max_side": 200, "max_pixels": 9216}, (128, 72)),
        ],
    )
    def test_shrinks_and_never_enlarges(self, limits, size):
        record = read_image(DATA / "canyon-wren.jpg", **limits)
        assert record.size == size and (record.width, record.height) == (256, 144)
        assert record.size[0] * record.size[1] <= limits.get("max_pixels", 10**9)

    def test_too_thin_once_shrunk(self, photo, saved):
        path = saved(photo.resize((400, 40)), "thin.png")
        with pytest.raises(ImageError, match="200×20"):
            read_image(path, max_side=200)

    @pytest.mark.parametrize("limits", [{"max_side": 31}, {"max_pixels": 1023}, {"max_side": -1}, {"max_pixels": 0}])
    def test_limits_that_leave_nothing(self, limits):
        with pytest.raises(ImageError, match=next(iter(limits))):
            read_image(DATA / "canyon-wren.jpg", **limits)


@pytest.fixture(params=[False, True], ids=["strict", "after-a-pyiqa-data-set"])
def truncation_flag(request):
    """PIL's global flag, as a fresh process has it and as pyiqa's data sets leave it."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, request.param
    yield request.param
    ImageFile.LOAD_TRUNCATED_IMAGES = before


class TestDamage:
    @pytest.mark.parametrize("part", [0.3, 0.95])
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000"])
    def test_truncated(self, photo, saved, format, part, truncation_flag):
        content = encoded(photo, format)
        path = saved(content[: int(len(content) * part)], "cut.bin")
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.kind in (Kind.DAMAGED, Kind.NOT_AN_IMAGE)

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"", Kind.EMPTY),
            (b"just some text\n" * 100, Kind.NOT_AN_IMAGE),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", Kind.NOT_AN_IMAGE),  # never runs Ghostscript
        ],
    )
    def test_a_file_that_is_no_image_is_refused(self, saved, content, kind):
        with pytest.raises(ImageError) as caught:
            read_image(saved(content, "file.jpg"))
        assert caught.value.kind == kind

    @pytest.mark.parametrize(
        ("name", "kind"), [("nothing.jpg", Kind.MISSING), ("", Kind.NOT_A_FILE), ("/dev/null", Kind.NOT_A_FILE)]
    )
    def test_what_is_no_file_is_refused(self, tmp_path, name, kind):
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        assert caught.value.kind == kind

    @pytest.mark.parametrize("size", [(31, 400), (400, 31), (1, 1)])
    def test_under_32_pixels(self, photo, saved, size):
        with pytest.raises(ImageError, match=f"{size[0]}×{size[1]}"):
            read_image(saved(photo.resize(size), "small.png"))
        assert read_image(saved(photo.resize((32, 32)), "enough.png")).size == (32, 32)

    def test_decompression_bomb(self, photo, saved, monkeypatch):
        path = saved(photo, "bomb.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256 * 144 // 3)
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.kind == Kind.TOO_LARGE


def test_suffixes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"} <= image_suffixes()
    assert not {".pdf", ".eps", ".txt", ".csv", ".mp4", ""} & image_suffixes()
