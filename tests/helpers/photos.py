"""Pictures for tests: photos in small versions, distorted, or in a known order; RAW files, videos, and no pictures."""

import io
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from scipy.stats import mannwhitneyu
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


def blurred(image, radius):
    """Gaussian blur of that many pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def noisy(image, sigma):
    """White noise of that standard deviation, of 255; the same grain each time."""
    noise = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).round().astype(np.uint8))


def jpeg(image, quality):
    """Through a JPEG of that quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def area(low, high):
    """Under the ROC curve: how often a number of ``high`` exceeds one of ``low``."""
    return mannwhitneyu(high, low).statistic / (len(low) * len(high))


def dng(photo, compression=7):
    """A DNG: a preview, a JPEG (7) or plain RGB (1), and below it a mosaic of 16-bit samples, which comes first."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95)
    preview, colours = (file.getvalue(), 6) if compression == 7 else (photo.tobytes(), 2)

    def image(at, size, depths, packing, colours, data, tags):
        """A directory and its data, at a place of the file."""
        directory = ImageFileDirectory_v2()
        own = {256: size[0], 257: size[1], 258: depths, 259: packing, 262: colours, 277: len(depths), 278: size[1]}
        for tag, value in {**own, 273: 0, 279: len(data), **tags}.items():  # Pillow counts 273 from its end
            directory[tag] = value
        return directory.tobytes(at) + data

    mosaic = image(8, (64, 64), (16,), 1, 32803, bytes(64 * 64 * 2), {254: 0, 33421: (2, 2), 33422: b"\0\1\1\2"})
    tags = {254: 1, 330: 8, 50706: b"\1\4\0\0"}
    at = 8 + len(mosaic)
    first = image(at, photo.size, (8, 8, 8), compression, colours, preview, tags)
    return struct.pack("<4sI", b"II*\0", at) + mosaic + first


def pictures(count, size=(96, 64)):
    """Cuttings of a photo, each a little further to the right."""
    photo = Image.open(PHOTOS[0]).convert("RGB")
    return [photo.crop((4 * n, 40, 4 * n + size[0], 40 + size[1])) for n in range(count)]


def save_clip(path, frames, codec="ffv1", format="bgr0", times=None, rotation=0, **context):
    """Write a video; ``times`` are the numbers of frames, ten each second; ``context``: attributes of the encoder."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, format
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, picture in zip(times or range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
