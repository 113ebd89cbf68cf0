"""Draws the figures of docs/maps.md on a bundled photo and mini: ``python docs/images/maps.py``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms.v2.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQA, draw_maps, quality_map
from clipiqa_pyiqa.workbench.experiments.demonstration import PHOTOS
from clipiqa_pyiqa.workbench.maps.pictures import map_figure, overlay

HERE = Path(__file__).parent
JPEG = {"quality": 85, "optimize": True}


def half_blurred(photo: Image.Image) -> Image.Image:
    """Its left half blurred by 4 px."""
    photo, middle = photo.copy(), photo.width // 2
    photo.paste(photo.filter(ImageFilter.GaussianBlur(4)).crop((0, 0, middle, photo.height)), (0, 0))
    return photo


def with_a_noisy_square(photo: Image.Image) -> Image.Image:
    """64 px of it, with noise of 25 grey levels."""
    pixels = np.array(photo, float)
    pixels[150:214, 300:364] += np.random.default_rng(0).normal(0, 25, (64, 64, 3))
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def finer(metric: CLIPIQA, photo: Image.Image) -> None:
    """A small noisy square in three maps."""
    ways = {
        "places of 32 px": {"smooth": False},
        "the mean of 3×3 (default)": {},
        "scale 2": {"scale": 2},
    }
    x = pil_to_tensor(photo)[None].float() / 255
    figure, axes = plt.subplots(1, 1 + len(ways), figsize=(15, 2.1), layout="constrained")
    axes[0].imshow(photo)
    axes[0].set_title("noise in a square of 64 px", fontsize=9)
    for place, (name, options) in zip(axes[1:], ways.items(), strict=True):
        with torch.no_grad():
            scores = quality_map(metric, x, "noisiness", upsample=True, **options)[0, 0].numpy()
        place.imshow(overlay(photo, scores, 1.0))
        place.set_title(f"{name}: {scores.min():.2f} to {scores.max():.2f}", fontsize=9)
    for place in axes:
        place.axis("off")
    figure.savefig(HERE / "maps_finer.jpg", dpi=100, pil_kwargs=JPEG)


def main() -> None:
    metric, photo = CLIPIQA(backbone="mini").eval(), Image.open(PHOTOS / "oakland-zoo-otters.jpg").convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "left half blurred by 4 px.png")
        half_blurred(photo).save(path)
        found = draw_maps(metric, path, ["sharpness", "noisiness", "quality"], device="cpu")
        map_figure(found.maps[0]).savefig(HERE / "maps.jpg", pil_kwargs=JPEG)
    finer(metric, with_a_noisy_square(photo))


if __name__ == "__main__":
    main()
