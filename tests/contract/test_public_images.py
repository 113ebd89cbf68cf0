"""The image reader: equal to pyiqa's on plain files, explicit on all others, strict about damage."""

import struct

import numpy as np
import pytest
import torch
from assertions import refused
from photos import BUNDLED
from PIL import Image, ImageOps

from clipiqa_pyiqa import ImageError, OptionError, read_image

pytestmark = pytest.mark.quick


def array(record):
    return record.pixels.permute(1, 2, 0).numpy()


def apart(record, image):
    """The mean difference of pixels, of 255."""
    return np.abs(array(record).astype(int) - np.asarray(image)).mean()


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


DEEP = np.linspace(0, 65535, 48 * 64).round().astype(np.uint16).reshape(48, 64)


def change_tag(path, tag, kind, before, after):
    """Change a number of a TIFF's header; kind 3 has 16 bits, 4 has 32."""
    old = struct.pack("<HHII", tag, kind, 1, before)
    new = struct.pack("<HHII", tag, kind, 1, after)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def test_equals_what_pyiqa_reads():
    for name in ["canyon-wren.jpg", "blue-periwinkle.jpg"]:
        from pyiqa.utils.img_util import imread2tensor

        record = read_image(BUNDLED / name)
        theirs = imread2tensor(str(BUNDLED / name), rgb=True)
        assert torch.equal(record.pixels.float().div(255), theirs)  # bit for bit: the same decoder, the same division
        assert record.converted == "" and record.pixels[None].is_contiguous(memory_format=torch.channels_last)


def test_lossless_formats_come_back_exactly(photo, saved):
    for suffix in ["png", "bmp", "tiff", "ppm"]:
        record = read_image(saved(photo, f"photo.{suffix}"))
        assert np.array_equal(array(record), np.asarray(photo))
        assert (record.width, record.height, record.size, record.converted) == (256, 144, (256, 144), "")


def test_grey(photo, saved):
    grey = photo.convert("L")
    record = read_image(saved(grey, "grey.png"))
    assert record.converted == "grey->rgb"
    assert np.array_equal(array(record), np.asarray(grey.convert("RGB")))


def test_transparency_shows_white(saved):
    image = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    image.paste((200, 0, 0, 51), (0, 20, 40, 40))  # a fifth
    image.putpixel((0, 0), (200, 0, 0, 255))
    pixels = array(read_image(saved(image, "half.png")))
    colours = [pixels[y, 0].tolist() for y in (0, 10, 30)]
    assert colours == [[200, 0, 0], [255] * 3, [244, 204, 204]]  # 0.2 × (200, 0, 0) + 0.8 × 255


def test_palette_with_a_transparent_entry(photo, saved):
    palette = photo.quantize(16)
    record = read_image(saved(palette, "palette.png", transparency=3))
    clear = np.asarray(palette) == 3
    assert clear.any() and (array(record)[clear] == 255).all()
    assert np.array_equal(array(record)[~clear], np.asarray(palette.convert("RGB"))[~clear])
    assert record.converted == "palette+alpha->rgb on white"


def test_cmyk(photo, saved):
    for suffix in ["jpg", "tiff"]:
        path = saved(photo.convert("CMYK"), f"press.{suffix}")
        record = read_image(path)
        assert record.converted == "cmyk->rgb"
        with Image.open(path) as image:
            assert np.array_equal(array(record), np.asarray(image.convert("RGB")))
        assert apart(record, photo) < 3  # the same picture, not its negative; JPEG costs the rest


def test_16_bit_samples_keep_the_high_byte(tmp_path):
    for suffix in ["png", "tiff"]:
        for kind in ["grey", "rgb"]:
            import cv2  # Pillow cannot write 16-bit colour

            deep = DEEP[..., None] if kind == "grey" else np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
            path = tmp_path / f"deep.{suffix}"
            assert cv2.imwrite(str(path), np.ascontiguousarray(deep[:, :, ::-1]))  # which is BGR
            record = read_image(path)
            assert record.converted == f"16-bit {kind}->rgb"
            assert np.array_equal(array(record), np.broadcast_to(deep >> 8, (48, 64, 3)))


def test_12_bit_grey_keeps_its_upper_byte(saved):
    bits = np.unpackbits(DEEP.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, :12]
    path = saved(Image.fromarray(np.packbits(bits).reshape(48, 96)), "medical.tiff")
    change_tag(path, 256, 4, 96, 64)  # width
    change_tag(path, 258, 3, 8, 12)  # bits
    record = read_image(path)
    assert record.converted == "12-bit grey->rgb"
    assert np.array_equal(record.pixels[0].numpy(), DEEP >> 8)


def test_first_frame_of_several(photo, saved):
    for suffix in ["gif", "webp", "png", "tiff"]:
        options = {"lossless": True} if suffix == "webp" else {}
        others = [Image.new("RGB", photo.size, colour) for colour in ("red", "blue")]
        record = read_image(saved(photo, f"film.{suffix}", save_all=True, append_images=others, **options))
        assert record.converted.endswith("frame 1 of 3")
        # A GIF's palette of 256 costs a few levels; the other frames would be a hundred off.
        assert apart(record, photo) < (8 if suffix == "gif" else 1e-9)


def test_second_picture_of_a_phone_photo_is_no_animation(photo, saved):
    depth_map = photo.convert("L").resize((64, 36))
    record = read_image(saved(photo, "phone.jpg", format="MPO", save_all=True, append_images=[depth_map]))
    assert record.size == (256, 144) and record.converted == ""


def test_applied_recorded_and_switchable(photo, saved):
    for orientation in [*range(1, 9), 99]:
        for suffix in ["png", "tiff"]:
            photo.getexif()[0x0112] = orientation
            path = saved(photo, f"turned.{suffix}", exif=photo.getexif())
            upright = read_image(path)
            stored = read_image(path, apply_exif=False)
            assert np.array_equal(array(upright), np.asarray(ImageOps.exif_transpose(photo)))
            assert (upright.width, upright.height) == upright.size == upright.pixels.shape[:0:-1]
            assert upright.orientation == stored.orientation == (orientation if orientation < 9 else 1)
            assert np.array_equal(array(stored), np.asarray(photo)) and stored.size == (256, 144)


def test_damaged_exif_does_not_cost_the_picture(photo, saved, caplog):
    record = read_image(saved(photo, "bad-exif.png", exif=b"not a TIFF header"))
    assert (record.orientation, record.size) == (1, (256, 144))
    assert "EXIF" in caplog.text


def test_shrinks_and_never_enlarges():
    for limits, size in [
        ({"max_side": 128}, (128, 72)),
        ({"max_side": 1000}, (256, 144)),
        ({"max_pixels": 9216}, (128, 72)),
        ({"max_pixels": 9215}, (127, 71)),
        ({"max_side": 200, "max_pixels": 9216}, (128, 72)),
    ]:
        record = read_image(BUNDLED / "canyon-wren.jpg", **limits)
        assert record.size == size and (record.width, record.height) == (256, 144)


def test_limits_that_leave_nothing_are_refused(photo, saved):
    path = saved(photo.resize((400, 40)), "thin.png")
    for error, limits in (
        (ImageError, {"max_side": 200}),
        (OptionError, {"max_side": 31}),
        (OptionError, {"max_pixels": 1023}),
    ):
        with pytest.raises(error):
            read_image(path, **limits)


@pytest.mark.parametrize(("limit", "named"), [(40 * 40 - 1, "1,599"), (700, "1,400")])
@pytest.mark.filterwarnings("error")
def test_the_limit_that_an_image_exceeds_is_named(saved, monkeypatch, limit, named):
    """PIL warns of more pixels than its limit, and raises for more than twice as many."""
    path = saved(Image.new("L", (40, 40)), "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=f"has more than {named} pixels"):
        read_image(path)


def test_what_is_no_path_is_refused():
    for other in (None, 5, Image.new("RGB", (64, 64))):
        assert "takes the path of a file" in refused(read_image, other)
