"""Small versions of the bundled photos: distorted, or in an order that is known; and pictures that are none."""

import io
from pathlib import Path

import numpy as np
import torch
from distortions import blurred, jpeg, noisy
from PIL import Image, ImageEnhance
from torch.nn import functional as F

BUNDLED = Path(__file__).parents[1] / "data"
PHOTOS = sorted(BUNDLED.glob("*.jpg"))
DISTORTIONS = {
    "as is": lambda image: image,
    "blur 1": lambda image: blurred(image, 1),
    "blur 3": lambda image: blurred(image, 3),
    "noise 15": lambda image: noisy(image, 15),
    "noise 40": lambda image: noisy(image, 40),
    "jpeg 10": lambda image: jpeg(image, 10),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.4),
    "grey": lambda image: ImageEnhance.Color(image).enhance(0),
}


def distorted_photos(folder, sources, size=(128, 96), parts=1):
    """Write each photo, shrunk (or ``parts`` pieces of it), in every distortion, as PNG; returns the files in order."""
    paths = []
    for source in sources:
        photo = Image.open(source).convert("RGB")
        for part in range(parts):
            left = photo.width * part // parts
            box = (left, 0, left + photo.width // parts, photo.height)
            piece = photo.resize(size, Image.Resampling.LANCZOS, box)
            for name, distort in DISTORTIONS.items():
                path = folder / f"{source.stem} {part} {name}.png"
                distort(piece).save(path)
                paths.append(path)
    return paths


def photos():
    """Name -> the bundled photos, shrunk."""
    found = {}
    for path in PHOTOS:
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((160, 160), Image.Resampling.LANCZOS)
        found[path.stem] = photo
    return found


def save_blurred(folder, radius):
    """The photos blurred by that many pixels; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo in photos().items():
        blurred(photo, radius).save(folder / f"{name}.png")
    return folder


def save_exposures(folder):
    """Photo -> its files from the darkest to the brightest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, photo in photos().items():
        made[name] = []
        for factor in (0.25, 0.5, 1.0, 1.5):
            made[name].append(folder / f"{name}-{factor:g}.png")
            ImageEnhance.Brightness(photo).enhance(factor).save(made[name][-1])
    return made


def save_grey(path, level, size=(48, 40)):
    """A uniformly grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level,) * 3).save(path)
    return path


def save_corrupt(path):
    """Half of a PNG."""
    save_grey(path, 77, (64, 64))
    path.write_bytes(path.read_bytes()[:60])
    return path


def photo_like(height, width, n=1, dtype=torch.float32):
    """Smooth random images with noise on them: ``(n, 3, height, width)`` in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(n, 3, 6, 6, generator=generator), size=(height, width), mode="bilinear")
    return (0.1 + 0.8 * smooth + 0.03 * torch.randn(n, 3, height, width, generator=generator)).clamp(0, 1).to(dtype)


def drawn(figure):
    """Return a figure's pixels (H, W, 3), as they are saved in a PNG file."""
    file = io.BytesIO()
    figure.savefig(file)
    return np.asarray(Image.open(file).convert("RGB"))
