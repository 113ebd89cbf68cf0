"""Noise as a camera makes it: photons and electronics in linear light, then demosaicing, tone curve, denoising, JPEG.

Shot noise grows with the light and read noise does not (Foi et al. 2008, Poisson-Gaussian, as a Gaussian of the same
variance); the mosaic and what follows colour the noise and spread it over neighbours, so that it looks like detail.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

_CROSS = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
_SQUARE = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
# Malvar, He, Cutler 2004: green at red and blue; red and blue where green has them in its row, in its column; opposite.
_GREEN = torch.tensor([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
_ROW = torch.tensor([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]) / 8
_OPPOSITE = torch.tensor([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0],
                          [0, 0, -1.5, 0, 0]]) / 8  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """One camera's way from light to file; the same for every ISO of a scene."""

    red_gain: float
    blue_gain: float
    read_share: float  # of the read noise in the whole, at middle grey
    malvar: bool
    curve: float  # strength of the tone curve
    denoise: str  # none, chroma, median, gauss
    sharpen: float
    shrink: float  # the file is this much smaller than the sensor
    quality: int
    banding: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Camera:
        """A random one."""
        return cls(
            red_gain=rng.uniform(1.4, 2.4), blue_gain=rng.uniform(1.3, 2.2), read_share=rng.uniform(0.05, 0.5),
            malvar=bool(rng.random() < 0.6), curve=rng.uniform(0, 0.6),
            denoise=str(rng.choice(("none", "chroma", "median", "gauss"), p=(0.4, 0.3, 0.15, 0.15))),
            sharpen=float(rng.uniform(0.3, 1.5)) if rng.random() < 0.5 else 0.0,
            shrink=float(rng.uniform(1, 2)) if rng.random() < 0.3 else 1.0,
            quality=int(rng.integers(80, 99)), banding=float(rng.uniform(0, 0.3)) if rng.random() < 0.3 else 0.0,
        )  # fmt: skip

    def shoot(self, scene: Image.Image, noise: float, rng: np.random.Generator) -> Image.Image:
        """A photo of the scene; `noise`: deviation at middle grey in linear light, 0 (none) to about 0.15."""
        size = scene.size
        if self.shrink > 1:
            scene = scene.resize((round(size[0] * self.shrink), round(size[1] * self.shrink)), Image.Resampling.BICUBIC)
        light = torch.from_numpy(np.asarray(scene, np.float32) / 255).permute(2, 0, 1)
        light = torch.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
        gains = torch.tensor([self.red_gain, 1.0, self.blue_gain]).view(3, 1, 1)
        raw = mosaic(light / gains)
        variance = noise**2 * (self.read_share + (1 - self.read_share) * raw / 0.18)
        grain = torch.from_numpy(rng.standard_normal(raw.shape, dtype=np.float32)) * variance.sqrt()
        if self.banding:
            grain = grain + self.banding * noise * torch.from_numpy(
                rng.standard_normal((len(raw), 1), dtype=np.float32)
            )
        raw = (raw + grain).clamp(0, 1)
        rgb = (demosaic(raw, self.malvar) * gains).clamp(0, 1)
        rgb = torch.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * rgb.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
        rgb = (1 - self.curve) * rgb + self.curve * rgb * rgb * (3 - 2 * rgb)
        image = Image.fromarray((rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
        image = self._denoised(image)
        if self.sharpen:
            image = image.filter(ImageFilter.UnsharpMask(1.5, round(100 * self.sharpen), 2))
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality)
        return Image.open(buffer).convert("RGB")

    def _denoised(self, image: Image.Image) -> Image.Image:
        if self.denoise == "none":
            return image
        luma, blue, red = image.convert("YCbCr").split()
        chroma = [plane.filter(ImageFilter.GaussianBlur(2)) for plane in (blue, red)]
        if self.denoise == "median":
            luma = Image.blend(luma, luma.filter(ImageFilter.MedianFilter(3)), 0.7)
        elif self.denoise == "gauss":
            luma = Image.blend(luma, luma.filter(ImageFilter.GaussianBlur(1)), 0.6)
        return Image.merge("YCbCr", (luma, *chroma)).convert("RGB")


def mosaic(light: torch.Tensor) -> torch.Tensor:
    """(3, H, W) -> (H, W): each pixel keeps one colour, red top left (RGGB)."""
    raw = light[1].clone()
    raw[::2, ::2], raw[1::2, 1::2] = light[0, ::2, ::2], light[2, 1::2, 1::2]
    return raw


def demosaic(raw: torch.Tensor, malvar: bool) -> torch.Tensor:
    """(H, W) -> (3, H, W), linear filters only."""
    height, width = raw.shape
    masks = torch.zeros(3, height, width)
    masks[0, ::2, ::2] = masks[2, 1::2, 1::2] = 1
    masks[1] = 1 - masks[0] - masks[2]
    if not malvar:
        planes = F.pad((raw * masks)[:, None], (2, 2, 2, 2), mode="reflect")
        found = [
            F.conv2d(plane[None], kernel[None, None])[0, 0]
            for plane, kernel in zip(planes, (_SQUARE, _CROSS, _SQUARE), strict=True)
        ]
        return torch.stack(found)[:, 1:-1, 1:-1]
    padded = F.pad(raw[None, None], (2, 2, 2, 2), mode="reflect")
    kernels = torch.stack([_GREEN, _ROW, _ROW.T.contiguous(), _OPPOSITE])[:, None].float()
    green, row, column, opposite = F.conv2d(padded, kernels)[0]
    even_rows = torch.zeros(height, width)
    even_rows[::2] = 1
    at_green_red_row, at_green_blue_row = masks[1] * even_rows, masks[1] * (1 - even_rows)
    red = raw * masks[0] + row * at_green_red_row + column * at_green_blue_row + opposite * masks[2]
    blue = raw * masks[2] + row * at_green_blue_row + column * at_green_red_row + opposite * masks[0]
    return torch.stack([red, raw * masks[1] + green * (1 - masks[1]), blue])
