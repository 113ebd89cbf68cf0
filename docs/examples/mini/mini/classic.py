"""The classic kinds of damage: those of KADID-10k (25) and TID2013 (24), each at five levels.

KADID-10k's kinds and levels follow Lin, Hosu and Saupe, QoMEX 2019, and the code that they published; TID2013's follow
Ponomarenko et al., Signal Processing: Image Communication 30, 2015, whose levels aim at a PSNR of 33, 30, 27, 24 and
21 dB. All is written anew. Where an original needs BM3D, a neural network, a wavelet coder for noisy images or broken
transmissions, a kind is made in that manner.

A level may be any number from 1 to 5: parameters between two levels are interpolated.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import fft, ndimage

Pixels = np.ndarray
"""(H, W, 3) in [0, 1], fp32."""

Dice = np.random.Generator
LEVELS = (1, 2, 3, 4, 5)
PSNR = (33.0, 30.0, 27.0, 24.0, 21.0)
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
RGB = np.linalg.inv(YCBCR).astype(np.float32)
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
WHITE = XYZ.sum(1)


def to_ycbcr(x: Pixels) -> Pixels:
    return x @ YCBCR.T


def from_ycbcr(x: Pixels) -> Pixels:
    return x @ RGB.T


def to_lab(x: Pixels) -> Pixels:
    """CIE L*a*b* of sRGB, D65."""
    linear = np.where(x > 0.04045, ((np.maximum(x, 0) + 0.055) / 1.055) ** 2.4, x / 12.92)
    t = linear @ XYZ.T / WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), t * (24389 / 27 / 116) + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def from_lab(lab: Pixels) -> Pixels:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    t = np.where(f > 6 / 29, f**3, (f - 16 / 116) * (27 * 116 / 24389)) * WHITE
    linear = np.clip(t @ np.linalg.inv(XYZ).T, 0, None)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear).astype(np.float32)


def luma(x: Pixels) -> np.ndarray:
    return x @ YCBCR[0]


def blurred(x: Pixels, sigma: float) -> Pixels:
    return ndimage.gaussian_filter(x, (sigma, sigma) + (0,) * (x.ndim - 2), truncate=3, mode="nearest")


def image_of(x: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(255 * x), 0, 255).astype(np.uint8))


def pixels_of(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"), np.float32) / 255


def saved(x: Pixels, form: str, **options: object) -> Pixels:
    """The pixels after a file."""
    buffer = io.BytesIO()
    image_of(x).save(buffer, form, **options)
    return pixels_of(Image.open(buffer))


def convolved(x: Pixels, kernel: np.ndarray) -> Pixels:
    """By a small kernel, edges repeated; by FFT."""
    reach = [side // 2 for side in kernel.shape]
    padded = np.pad(x, [(side, side) for side in reach] + [(0, 0)], mode="edge")
    shape = [fft.next_fast_len(size, real=True) for size in padded.shape[:2]]
    found = fft.irfft2(
        fft.rfft2(padded, shape, axes=(0, 1)) * fft.rfft2(kernel.astype(np.float32), shape)[..., None],
        shape, axes=(0, 1),
    )  # fmt: skip
    return found[2 * reach[0] :, 2 * reach[1] :][: x.shape[0], : x.shape[1]].astype(np.float32)


def with_psnr(x: Pixels, difference: Pixels, psnr: float) -> Pixels:
    """`x` with so much of a difference that its PSNR is this, before pixels are clipped."""
    return x + difference * (10 ** (-psnr / 20) / max(float(np.sqrt(np.square(difference).mean())), 1e-6))


def normal(dice: Dice, *shape: int) -> np.ndarray:
    return dice.standard_normal(shape, dtype=np.float32)


def moved(x: Pixels, dy: np.ndarray, dx: np.ndarray) -> Pixels:
    """Every pixel taken from (dy, dx) px beside, bilinearly."""
    rows, columns = np.mgrid[: x.shape[0], : x.shape[1]].astype(np.float32)
    places = np.stack([rows + dy, columns + dx])
    return np.stack([ndimage.map_coordinates(x[..., c], places, order=1, mode="nearest") for c in range(3)], -1)


# ------------------------------------------------------------------------------------------------ KADID-10k


def lens_blur(x: Pixels, radius: float, dice: Dice) -> Pixels:
    side = int(np.ceil(radius))
    y, z = np.mgrid[-side : side + 1, -side : side + 1]
    disk = np.clip(radius + 0.5 - np.hypot(y, z), 0, 1)
    return convolved(x, disk / disk.sum())


def motion_blur(x: Pixels, radius: float, dice: Dice) -> Pixels:
    side, angle = int(np.ceil(radius)), dice.uniform(0, np.pi)
    kernel = np.zeros((2 * side + 1,) * 2)
    for step in np.linspace(-radius, radius, 8 * side + 1):
        y, z = side + step * np.sin(angle), side + step * np.cos(angle)
        top, left = int(y), int(z)
        for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            if max(i, j) <= 2 * side:
                kernel[i, j] += (1 - abs(y - i)) * (1 - abs(z - j))
    return convolved(x, kernel / kernel.sum())


def color_diffusion(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """Blurred colours in Lab, with the lightness of before."""
    lab = to_lab(x)
    lab[..., 1:] = blurred(lab[..., 1:], 1.5 * amount + 2)
    return from_lab(lab)


def color_shift(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """Green is moved by some pixels where there are edges."""
    angle = dice.uniform(0, 2 * np.pi)
    grey = luma(blurred(x, 2))
    edges = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    mask = np.clip(edges / max(float(np.quantile(edges, 0.9)), 1e-6), 0, 1) ** 0.5
    shift = np.round(amount * np.array([np.sin(angle), np.cos(angle)]))
    found = x.copy()
    green = ndimage.shift(x[..., 1], shift, order=0, mode="nearest")
    found[..., 1] = mask * green + (1 - mask) * x[..., 1]
    return found


def color_quantization(x: Pixels, colors: float, dice: Dice) -> Pixels:
    """A palette of the image's own, with dither."""
    image = image_of(x)
    palette = image.quantize(max(2, round(colors)), method=Image.Quantize.MEDIANCUT)
    return pixels_of(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))


def saturation_hsv(x: Pixels, factor: float, dice: Dice) -> Pixels:
    value = x.max(-1, keepdims=True)
    return value - (value - x) * factor


def saturation_lab(x: Pixels, factor: float, dice: Dice) -> Pixels:
    lab = to_lab(x)
    lab[..., 1:] *= factor
    return from_lab(lab)


def jpeg2000(x: Pixels, ratio: float, dice: Dice) -> Pixels:
    return saved(x, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)


def jpeg(x: Pixels, quality: float, dice: Dice) -> Pixels:
    return saved(x, "JPEG", quality=round(quality))


def white_noise(x: Pixels, variance: float, dice: Dice) -> Pixels:
    return x + variance**0.5 * normal(dice, *x.shape)


def color_noise(x: Pixels, variance: float, dice: Dice) -> Pixels:
    return from_ycbcr(to_ycbcr(x) + variance**0.5 * normal(dice, *x.shape))


def impulse_noise(x: Pixels, density: float, dice: Dice) -> Pixels:
    """Salt and pepper, in each channel."""
    drawn = dice.random(x.shape, dtype=np.float32)
    return np.where(drawn < density / 2, 0, np.where(drawn < density, 1, x))


def multiplicative_noise(x: Pixels, variance: float, dice: Dice) -> Pixels:
    return x + variance**0.5 * x * normal(dice, *x.shape)


def transformed(
    x: Pixels, side: int, change: Callable[[np.ndarray], np.ndarray], top: int = 0, left: int = 0
) -> Pixels:
    """Every block's cosine transform (rows, columns, 3, side, side) changed; blocks start at (top, left)."""
    height, width = x.shape[:2]
    padded = np.pad(x, ((top, side), (left, side), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    blocks = padded[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)
    blocks = fft.idctn(change(fft.dctn(blocks, axes=(3, 4), norm="ortho")), axes=(3, 4), norm="ortho")
    joined = blocks.transpose(0, 3, 1, 4, 2).reshape(rows * side, columns * side, 3)
    return joined[top : top + height, left : left + width].astype(np.float32)


def denoised(x: Pixels, sigma: float) -> Pixels:
    """Small coefficients of overlapping blocks set to 0, as denoisers in the cosine domain do (Yu and Sapiro 2011)."""

    def shrink(c: np.ndarray) -> np.ndarray:
        kept = np.abs(c) > 2.7 * sigma
        kept[..., 0, 0] = True
        return c * kept

    return np.mean([transformed(x, 8, shrink, top, left) for top, left in ((0, 0), (4, 4), (2, 6), (6, 2))], axis=0)


def denoise(x: Pixels, variance: float, dice: Dice) -> Pixels:
    return denoised(white_noise(x, variance, dice), variance**0.5)


def brighten(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """A curve of the lightness through black and white that raises the middle."""
    lab = to_lab(x)
    lightness = lab[..., 0] / 100
    lab[..., 0] = 100 * lightness ** (1 / (1 + amount))
    return from_lab(lab)


def darken(x: Pixels, amount: float, dice: Dice) -> Pixels:
    lab = to_lab(x)
    lightness = lab[..., 0] / 100
    lab[..., 0] = 100 * lightness ** (1 + 2 * amount)
    return from_lab(lab)


def mean_shift(x: Pixels, amount: float, dice: Dice) -> Pixels:
    return x + amount


def jitter(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """Five times, each pixel is taken from a place close by."""
    for _ in range(5):
        x = moved(x, amount * normal(dice, *x.shape[:2]), amount * normal(dice, *x.shape[:2]))
    return x


def patches(x: Pixels, count: float, side: int, reach: int, dice: Dice) -> Pixels:
    """Small patches, each copied from close by."""
    height, width = x.shape[:2]
    found = x.copy()
    for _ in range(round(count * height * width / (384 * 512))):
        top, left = dice.integers(0, height - side), dice.integers(0, width - side)
        y = np.clip(top + dice.integers(-reach, reach + 1), 0, height - side)
        z = np.clip(left + dice.integers(-reach, reach + 1), 0, width - side)
        found[top : top + side, left : left + side] = x[y : y + side, z : z + side]
    return found


def non_eccentricity_patch(x: Pixels, count: float, dice: Dice) -> Pixels:
    return patches(x, count, 16, 24, dice)


def pixelate(x: Pixels, amount: float, dice: Dice) -> Pixels:
    image, share = image_of(x), 0.95 - amount**0.6
    small = image.resize([max(1, round(share * side)) for side in image.size], Image.Resampling.NEAREST)
    return pixels_of(small.resize(image.size, Image.Resampling.NEAREST))


def quantization(x: Pixels, levels: float, dice: Dice) -> Pixels:
    """Each channel in this many levels, spread as its values are."""
    found = np.empty_like(x)
    for c in range(3):
        borders = np.quantile(x[..., c], np.linspace(0, 1, round(levels) + 1))
        even = np.linspace(x[..., c].min(), x[..., c].max(), round(levels) + 1)
        borders = np.maximum.accumulate((borders + even) / 2)
        bins = np.clip(np.searchsorted(borders, x[..., c], "right") - 1, 0, len(borders) - 2)
        found[..., c] = (borders[:-1] + borders[1:])[bins] / 2
    return found


def blocks(x: Pixels, count: float, dice: Dice, side: int = 32, alpha: float = 1.0) -> Pixels:
    """Squares of one random colour."""
    found = x.copy()
    for _ in range(max(1, round(count * x.shape[0] * x.shape[1] / (384 * 512)))):
        top, left = dice.integers(0, x.shape[0] - side), dice.integers(0, x.shape[1] - side)
        place = found[top : top + side, left : left + side]
        place += alpha * (dice.random(3, dtype=np.float32) - place)
    return found


def color_block(x: Pixels, count: float, dice: Dice) -> Pixels:
    return blocks(x, count, dice)


def high_sharpen(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """Unsharp mask of the lightness, radius 3."""
    lab = to_lab(x)
    lab[..., 0] = np.clip(lab[..., 0] + amount * (lab[..., 0] - blurred(lab[..., 0], 1.5)), 0, 100)
    return from_lab(lab)


def contrast_change(x: Pixels, amount: float, dice: Dice) -> Pixels:
    """A curve through the middle, steeper above 0 and flatter below."""
    return x + amount * (x - 0.5) * 4 * x.clip(0, 1) * (1 - x).clip(0, 1) * 2


# -------------------------------------------------------------------------------------------------- TID2013


def additive(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    return with_psnr(x, normal(dice, *x.shape), psnr)


def color_components(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    """Noise of which the colours have more than the luma."""
    return with_psnr(x, from_ycbcr(normal(dice, *x.shape) * np.array([0.5, 1, 1], np.float32)), psnr)


def correlated(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    return with_psnr(x, ndimage.uniform_filter(normal(dice, *x.shape), (3, 3, 1)), psnr)


def masked(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    """Noise where edges and texture hide it."""
    grey = luma(x)
    activity = np.sqrt(blurred(np.square(grey - blurred(grey, 2)), 2))
    return with_psnr(x, (activity + 0.002)[..., None] * normal(dice, *x.shape), psnr)


def high_frequency(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    grain = normal(dice, *x.shape)
    return with_psnr(x, grain - blurred(grain, 1), psnr)


def impulses(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    spread = np.square(np.where(x > 0.5, x, 1 - x)).mean()  # of a pixel set to black or white, about
    return impulse_noise(x, 10 ** (-psnr / 10) / float(spread) * 1.3, dice)


def uniform_steps(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    step = 12**0.5 * 10 ** (-psnr / 20)
    return (np.floor(x / step) + 0.5) * step


def gaussian_blur(x: Pixels, sigma: float, dice: Dice) -> Pixels:
    return blurred(x, sigma)


def noise_removed(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    """Noise, and a denoiser that leaves some of it and takes detail with it."""
    return denoised(with_psnr(x, normal(dice, *x.shape), psnr - 5), 10 ** ((5 - psnr) / 20))


def broken_jpeg(x: Pixels, share: float, dice: Dice) -> Pixels:
    """Runs of 8×8 blocks with a wrong constant or from another place, as after lost bits."""
    found = jpeg(x, 75, dice)
    rows, columns = found.shape[0] // 8, found.shape[1] // 8
    left = share * rows * columns
    while left > 0:
        length, row, start = int(dice.integers(4, 25)), dice.integers(rows), dice.integers(columns)
        stop, left = min(start + length, columns), left - length
        run = found[8 * row : 8 * row + 8, 8 * start : 8 * stop]
        fault = dice.integers(3)
        if fault == 0:
            run += dice.uniform(-0.35, 0.35, 3).astype(np.float32)
        elif fault == 1:
            run[:] = np.roll(x[8 * row : 8 * row + 8], 8 * dice.integers(1, columns), 1)[:, 8 * start : 8 * stop]
        else:
            run[:] = run.mean((0, 1))
    return found


def broken_jpeg2000(x: Pixels, share: float, dice: Dice) -> Pixels:
    """Wavelets of several sizes that were lost or added in parts of the image."""
    found, height, width = x.copy(), *x.shape[:2]
    for scale in (2.0, 4.0, 8.0):
        side = int(12 * scale)
        band = blurred(x, scale / 2) - blurred(x, scale)
        for _ in range(max(1, round(share * height * width / side**2))):
            top, left = dice.integers(0, max(1, height - side)), dice.integers(0, max(1, width - side))
            place = np.s_[top : top + side, left : left + side]
            if dice.random() < 0.5:
                found[place] -= band[place]
            else:
                grain = normal(dice, *found[place].shape[:2], 1)
                grain = blurred(grain, scale / 2) - blurred(grain, scale)
                found[place] += 0.08 * grain / max(float(grain.std()), 1e-6)
    return found


def pattern_patches(x: Pixels, count: float, dice: Dice) -> Pixels:
    return patches(x, count, 15, 40, dice)


def local_blocks(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """32×32 blocks towards one colour: the fewer, the stronger."""
    return blocks(x, 16, dice, alpha=strength)


def contrast_factor(x: Pixels, factor: float, dice: Dice) -> Pixels:
    return (x - x.mean()) * factor + x.mean()


def saturation(x: Pixels, factor: float, dice: Dice) -> Pixels:
    grey = luma(x)[..., None]
    return grey + factor * (x - grey)


def multiplicative(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    return with_psnr(x, x * normal(dice, *x.shape), psnr)


def comfort_noise(x: Pixels, share: float, dice: Dice) -> Pixels:
    """Texture replaced by noise of the same local spread."""
    smooth = blurred(x, 1.5)
    detail = x - smooth
    spread = np.sqrt(blurred(np.square(detail), 2))
    grain = normal(dice, *x.shape[:2], 1)
    return smooth + (1 - share) * detail + share * spread * grain


def noisy_compressed(x: Pixels, psnr: float, dice: Dice) -> Pixels:
    """Noise, then a lossy coder with steps as wide as the noise."""
    sigma = 10 ** (-psnr / 20)
    return transformed(with_psnr(x, normal(dice, *x.shape), psnr), 8, lambda c: np.rint(c / (3 * sigma)) * (3 * sigma))


def chromatic_aberration(x: Pixels, shift: float, dice: Dice) -> Pixels:
    """Red and blue moved apart, and blurred a little."""
    angle = dice.uniform(0, 2 * np.pi)
    dy, dx = shift * np.sin(angle), shift * np.cos(angle)
    found = x.copy()
    for c, sign in ((0, 1), (2, -1)):
        shifted = ndimage.shift(x[..., c], (sign * dy, sign * dx), order=1, mode="nearest")
        found[..., c] = ndimage.gaussian_filter(shifted, 0.25 * shift)
    return found


def sparse_sampling(x: Pixels, share: float, dice: Dice) -> Pixels:
    """Some pixels are kept at random; the others come from those around."""
    kept = (dice.random(x.shape[:2]) < share).astype(np.float32)[..., None]
    found, known = np.zeros_like(x), np.zeros_like(kept)
    for sigma in (0.7, 1.5, 4.0):
        weight = blurred(kept, sigma) + 1e-6
        found += (1 - known) * blurred(kept * x, sigma) / weight
        known += (1 - known) * np.clip(weight / 0.2, 0, 1)
    return found / known


Kind = tuple[Callable[[Pixels, float, Dice], Pixels], tuple[float, ...]]
KADID: dict[str, Kind] = {
    "gaussian blur": (gaussian_blur, (0.1, 0.5, 1, 2, 5)),  # standard deviation, px
    "lens blur": (lens_blur, (1, 2, 4, 6, 8)),  # radius, px
    "motion blur": (motion_blur, (1, 2, 4, 6, 10)),  # half the length, px
    "color diffusion": (color_diffusion, (1, 3, 6, 8, 12)),
    "color shift": (color_shift, (1, 3, 6, 8, 12)),  # px
    "color quantization": (color_quantization, (64, 48, 32, 16, 8)),  # colours
    "color saturation, HSV": (saturation_hsv, (0.4, 0.2, 0.1, 0, -0.4)),  # factor
    "color saturation, Lab": (saturation_lab, (1, 2, 3, 6, 9)),  # factor
    "JPEG 2000": (jpeg2000, (16, 32, 45, 120, 170)),  # compression ratio
    "JPEG": (jpeg, (43, 36, 24, 7, 4)),  # quality
    "white noise": (white_noise, (0.001, 0.002, 0.003, 0.005, 0.01)),  # variance
    "noise in color component": (color_noise, (0.0001, 0.0005, 0.001, 0.002, 0.003)),  # variance
    "impulse noise": (impulse_noise, (0.001, 0.005, 0.01, 0.02, 0.03)),  # density
    "multiplicative noise": (multiplicative_noise, (0.001, 0.005, 0.01, 0.02, 0.05)),  # variance
    "denoise": (denoise, (0.001, 0.002, 0.003, 0.005, 0.01)),  # variance of the noise
    "brighten": (brighten, (0.1, 0.2, 0.4, 0.7, 1.1)),
    "darken": (darken, (0.05, 0.1, 0.2, 0.4, 0.8)),
    "mean shift": (mean_shift, (0, 0.08, -0.08, 0.15, -0.15)),
    "jitter": (jitter, (0.05, 0.1, 0.2, 0.5, 1)),  # px
    "non-eccentricity patch": (non_eccentricity_patch, (20, 40, 60, 80, 100)),  # patches
    "pixelate": (pixelate, (0.01, 0.05, 0.1, 0.2, 0.5)),
    "quantization": (quantization, (20, 16, 13, 10, 7)),  # levels
    "color block": (color_block, (2, 4, 6, 8, 10)),  # blocks
    "high sharpen": (high_sharpen, (1, 2, 3, 6, 12)),
    "contrast change": (contrast_change, (0.3, 0.15, 0, -0.4, -0.6)),
}
TID: dict[str, Kind] = {
    "additive noise": (additive, PSNR),
    "noise in color components": (color_components, PSNR),
    "correlated noise": (correlated, PSNR),
    "masked noise": (masked, PSNR),
    "high-frequency noise": (high_frequency, PSNR),
    "impulse noise, TID": (impulses, PSNR),
    "quantization noise": (uniform_steps, PSNR),
    "gaussian blur, TID": (gaussian_blur, (0.6, 0.9, 1.4, 2.3, 4.0)),  # standard deviation, px
    "image denoising": (noise_removed, PSNR),
    "JPEG, TID": (jpeg, (70, 40, 18, 9, 4)),  # quality
    "JPEG 2000, TID": (jpeg2000, (16, 30, 60, 110, 200)),  # compression ratio
    "JPEG transmission errors": (broken_jpeg, (0.01, 0.02, 0.04, 0.08, 0.16)),  # share of the blocks
    "JPEG 2000 transmission errors": (broken_jpeg2000, (0.02, 0.05, 0.1, 0.2, 0.4)),  # share of each scale
    "non-eccentricity pattern": (pattern_patches, (15, 40, 80, 150, 300)),  # patches
    "local blocks": (local_blocks, (0.1, 0.2, 0.35, 0.55, 0.9)),  # opacity
    "mean shift, TID": (mean_shift, (-0.06, 0.06, -0.12, 0.12, 0.18)),
    "contrast change, TID": (contrast_factor, (0.85, 1.2, 0.65, 1.5, 0.4)),
    "color saturation, TID": (saturation, (0.75, 1.4, 0.4, 2, 0)),
    "multiplicative noise, TID": (multiplicative, PSNR),
    "comfort noise": (comfort_noise, (0.2, 0.4, 0.6, 0.8, 1)),  # share of the texture
    "compressed noise": (noisy_compressed, PSNR),
    "color quantization with dither": (color_quantization, (40, 24, 14, 8, 5)),  # colours
    "chromatic aberration": (chromatic_aberration, (0.7, 1.2, 2, 3.5, 6)),  # px
    "sparse sampling": (sparse_sampling, (0.85, 0.7, 0.5, 0.3, 0.15)),  # share of pixels
}
KINDS = KADID | TID
UNORDERED = {
    "mean shift", "contrast change", "color saturation, HSV", "color saturation, Lab", "mean shift, TID",
    "contrast change, TID", "color saturation, TID",
}  # fmt: skip
"""Kinds whose levels have two signs or that no one calls worse."""

ORDERED = [name for name in KINDS if name not in UNORDERED]


def damaged(image: Image.Image, kind: str, level: float, dice: Dice) -> Image.Image:
    """The image with this damage; the level from 1 to 5."""
    apply, parameters = KINDS[kind]
    return image_of(apply(pixels_of(image), float(np.interp(level, LEVELS, parameters)), dice))
