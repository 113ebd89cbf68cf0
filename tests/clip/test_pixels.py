"""Images that callers hold: the same pixels are the same tensor in every form, and what is unclear is refused."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.clip.pixels import to_tensors
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.reward import psnr

pytestmark = pytest.mark.quick

RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
AS_TENSOR = torch.from_numpy(RGB).permute(2, 0, 1).float() / 255
ORIENTATION = 0x0112  # the EXIF tag


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        RGB.transpose(2, 0, 1),
        RGB[..., ::-1][..., ::-1],  # a view, as OpenCV's users reverse channels
        RGB / np.float32(255),
        RGB / np.float64(255),
        torch.from_numpy(RGB),
        AS_TENSOR,
        AS_TENSOR.double(),
        AS_TENSOR.clone().requires_grad_(),
        Image.fromarray(RGB),
    ],
)
def test_the_same_pixels_are_one_tensor_in_every_form(image):
    (pixels,) = to_tensors(image)
    assert torch.equal(pixels, AS_TENSOR)
    assert pixels.dtype == torch.float32
    assert not pixels.requires_grad


@pytest.mark.parametrize("grey", [RGB[..., 0], RGB[..., :1], AS_TENSOR[:1], Image.fromarray(RGB[..., 0])])
def test_grey_is_three_equal_channels(grey):
    (pixels,) = to_tensors(grey)
    assert torch.equal(pixels, AS_TENSOR[:1].expand(3, -1, -1))


@pytest.mark.parametrize("batch", [np.stack([RGB] * 2), torch.stack([AS_TENSOR] * 2), [RGB, AS_TENSOR], (RGB, RGB)])
def test_a_batch_is_its_images(batch):
    first, second = to_tensors(batch)
    assert torch.equal(first, AS_TENSOR)
    assert torch.equal(second, AS_TENSOR)


def test_a_batch_may_be_empty():
    assert to_tensors([]) == []
    assert to_tensors(np.empty((0, 48, 64, 3))) == []


def test_a_little_outside_is_clamped():
    (pixels,) = to_tensors(torch.linspace(-0.4, 1.4, 40 * 40).view(1, 1, 40, 40))
    assert pixels.min() == 0
    assert pixels.max() == 1


def test_an_orientation_turns_a_pil_image():
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # a quarter turn
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG", exif=exif)
    (pixels,) = to_tensors(Image.open(file))
    assert torch.equal(pixels, AS_TENSOR.rot90(-1, (1, 2)))


REFUSED = {
    Kind.NOT_AN_IMAGE: [
        "photo.png",
        b"\x89PNG",
        {"array": RGB},
        None,
        [[1, 2]],
        np.array("photo.png"),
        Image.fromarray(RGB).convert("RGBA"),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((3, 64, 3), np.uint8),  # channels on both axes
        np.zeros((1, 1, 48, 64, 3), np.uint8),
    ],
    Kind.UNCLEAR_SCALE: [RGB.astype(np.int64), RGB.astype(np.float32), AS_TENSOR * 2 - 1],
    Kind.NOT_FINITE: [np.full((48, 64), np.nan)],
}


@pytest.mark.parametrize("kind, image", [(kind, image) for kind, images in REFUSED.items() for image in images])
def test_what_is_no_clear_image_is_refused_by_its_place(kind, image):
    with pytest.raises(ImageError) as caught:
        to_tensors([RGB, image])
    assert caught.value.kind == kind
    assert caught.value.name == "image 1"


@pytest.mark.parametrize("images", ["photo.png", b"\x89PNG", {"array": RGB}])
def test_a_path_bytes_or_a_dict_is_no_list_of_images(images):
    with pytest.raises(ImageError, match="not a PIL image, an array"):
        to_tensors(images)


def test_psnr_by_hand():
    """An error of 0.1 everywhere is 20 dB; equal images have that of rounding to 8 bits, 10 log10(12 · 255²)."""
    assert psnr(torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), 0.6)) == pytest.approx(20, abs=1e-5)
    assert psnr(AS_TENSOR, AS_TENSOR) == pytest.approx(58.92, abs=0.005)


def test_a_picture_that_pil_cannot_finish_is_named(tmp_path):
    file = tmp_path / "cut.png"
    Image.fromarray(RGB).save(file)
    file.write_bytes(file.read_bytes()[:700])
    closed = Image.fromarray(RGB)
    closed.close()
    with Image.open(file) as cut:
        for picture in (cut, closed):
            with pytest.raises(ImageError, match="'image 1' cannot be read") as caught:
                to_tensors([RGB, picture])
            assert caught.value.kind == Kind.UNREADABLE
