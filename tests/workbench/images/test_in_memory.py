"""Images in memory: the same pixels are the same image in every form, and what is unclear is refused."""

import io
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.images.in_memory import memory_image, memory_images

RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
ALPHA = np.concatenate([RGB, RGB[..., :1]], axis=2)


def png(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def loaded(image):
    """(H, W, 3) of the record."""
    return read_image(memory_image("image 0", image)).pixels.permute(1, 2, 0)


def test_an_image_of_floats_has_a_picture():
    for image in (RGB, RGB / 255, (RGB / 255).astype(np.float32)):
        assert np.array_equal(np.asarray(read_image(memory_image("image 0", image)).picture), RGB)


def test_floats_n_255_are_8_bit_n_to_the_last_bit():
    for dtype in [np.float32, np.float64]:
        values = np.arange(48 * 256, dtype=np.uint8).reshape(48, 256)
        assert loaded(values / dtype(255)).dtype == torch.float32
        assert torch.equal(loaded(values / dtype(255)), loaded(values).float() / 255)
        assert torch.equal(
            loaded(np.full((40, 40), 0.5, dtype)), torch.full((40, 40, 3), 0.5)
        )  # between two 8-bit values


def test_an_orientation_turns_a_pil_image_as_it_turns_its_file():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = png(RGB, exif=exif)
    image = Image.open(io.BytesIO(file))
    for _ in range(2):  # reading leaves the orientation
        assert torch.equal(loaded(image), loaded(file))
    assert loaded(image).shape == (64, 48, 3)


def test_transparency_is_laid_over_white_and_grey_is_three_equal_channels_as_in_files():
    expected = loaded(png(ALPHA))
    for image in (ALPHA, Image.fromarray(ALPHA)):
        assert torch.equal(loaded(image), expected)
    assert (loaded(ALPHA / 255) - expected / 255).abs().max() < 1 / 255  # the file's is rounded to 8 bits
    for grey in (RGB[..., 0], RGB[..., :1], torch.from_numpy(RGB[..., 0])[None]):
        assert torch.equal(loaded(grey), loaded(png(RGB[..., 0])))


def test_large_floats_are_shrunk_as_files_are():
    middle = RGB // 4 + 96  # no overshoot, which PIL would clip after each of its two passes
    record = read_image(memory_image("image 0", middle / 255), max_side=48)
    of_bytes = read_image(memory_image("image 0", middle), max_side=48)
    assert record.size == of_bytes.size == (48, 36)
    # within the rounding of both passes
    assert (record.pixels - of_bytes.pixels.float() / 255).abs().max() < 2 / 255


REFUSED = {
    Kind.NOT_AN_IMAGE: [
        None,
        {"bytes": None},
        [[1, 2]],
        b"no image",
        np.zeros((3, 64, 3), np.uint8),  # channels on both axes, on none, and a batch in a batch
        np.zeros((64, 64, 5), np.uint8),
        np.zeros((1, 64, 64, 3)),
    ],
    Kind.UNCLEAR_SCALE: [
        np.zeros((64, 64, 3), np.int64),
        torch.linspace(-1, 1, 32 * 32).view(32, 32),
        torch.linspace(-0.1, 1, 32 * 32).view(32, 32),
        Image.fromarray(np.full((40, 40), 255, np.int32)),
    ],
    Kind.NOT_FINITE: [np.full((64, 64), np.nan)],
    Kind.TOO_SMALL: [RGB[:20]],
    Kind.DAMAGED: [Image.open(io.BytesIO(png(RGB)[:2000]))],
}


def test_what_is_unclear_is_refused():
    for kind in REFUSED:
        for image in REFUSED[kind]:
            with pytest.raises(ImageError) as caught:
                loaded(image)
            assert caught.value.kind == kind


@pytest.mark.parametrize("image", [Image.fromarray(RGB), RGB, torch.from_numpy(RGB).permute(2, 0, 1)])
def test_memory_is_asked_for_before_the_image_is_converted(monkeypatch, image):
    asked = []

    def make_room(width, height):
        asked.append((width, height))
        raise ImageError("does not fit")

    for converter in ("rgb_pixels", "Decoded"):
        monkeypatch.setattr(
            f"clipiqa_pyiqa.workbench.images.in_memory.{converter}", lambda *_: pytest.fail("converted")
        )
    with pytest.raises(ImageError, match="does not fit"):
        memory_image("image 0", image).decoded(make_room)
    assert asked == [(64, 48)]


def test_a_batch_is_its_images_and_an_image_is_a_batch_of_one():
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    for one in (
        RGB,
        RGB[..., 0],
        tensor,
        Image.fromarray(RGB),
        png(RGB),
        io.BytesIO(png(RGB)),
        {"array": RGB},
        "a.jpg",
        Path("a.jpg"),
    ):
        assert len(list(memory_images(one))) == 1
    for batch in (
        np.stack([RGB] * 3),
        torch.stack([tensor] * 3),
        iter([RGB] * 3),
        pyarrow.array([png(RGB)] * 3),
        pandas.Series([RGB] * 3),
    ):
        assert [read_image(image).pixels.shape for image in memory_images(batch)] == [(3, 48, 64)] * 3
    assert list(memory_images([])) == []
    assert list(memory_images(np.empty((0, 48, 64, 3)))) == []
