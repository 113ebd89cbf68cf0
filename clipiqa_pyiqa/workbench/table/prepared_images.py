"""Images as protocols want them: of the size of their reference, and without transparency."""

import contextlib

from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import crop, pil_to_tensor, resize, to_pil_image

from ...errors import ImageError


def fit_sizes(x: Tensor, reference: Tensor, unequal: str) -> tuple[Tensor, Tensor]:
    """Return an image and its reference, ``(3, H, W)`` uint8, in one size; ``'resize'`` gives floats in [0, 1].

    Raises ``ImageError`` if the sizes stay different.
    """
    size = [min(sides) for sides in zip(x.shape[1:], reference.shape[1:], strict=True)]
    if unequal == "cut":
        return crop(x, 0, 0, *size), crop(reference, 0, 0, *size)
    if unequal == "resize":
        return resize(x / 255, size), resize(reference / 255, size)
    if unequal == "reference":
        return pil_to_tensor(resize(to_pil_image(x), list(reference.shape[1:]))), reference
    if x.shape != reference.shape:
        sizes = [f"{width}×{height} px" for _, height, width in (x.shape, reference.shape)]
        raise ImageError(f"it is {sizes[0]}, but its reference is {sizes[1]}: both must have the same size")
    return x, reference


def without_alpha(path: str) -> Tensor | None:
    """Return the pixels of an image with transparency, which is ignored; None for other images."""
    with contextlib.suppress(OSError), Image.open(path) as image:
        if image.has_transparency_data:
            return pil_to_tensor(ImageOps.exif_transpose(image).convert("RGB"))
    return None
