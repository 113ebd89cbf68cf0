"""Draws first_page.png, the picture of docs/index.md: ``python docs/images/first_page.py``.

``--others niqe=FILE brisque=FILE``, with their parameters, also prints what these metrics give the photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageFilter

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, quality_map

PHOTO = Path(clipiqa_pyiqa.__file__).parent / "data/photos/oakland-zoo-otters.jpg"
QUESTIONS = ["quality", "sharpness", "noisiness", "brightness", "contrast", "colorfulness"]


def photos() -> dict[str, torch.Tensor]:
    """The photo as it is, and with its right half blurred by 2 px: ``(1, 3, H, W)`` in [0, 1]."""
    whole = Image.open(PHOTO).convert("RGB")
    spoilt, middle = whole.copy(), whole.width // 2
    blurred = whole.filter(ImageFilter.GaussianBlur(2))
    spoilt.paste(blurred.crop((middle, 0, whole.width, whole.height)), (middle, 0))
    pictures = {"as it is": whole, "right half blurred": spoilt}
    return {
        name: torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        for name, picture in pictures.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", nargs="*", default=[], metavar="NAME=FILE")
    args = parser.parse_args()
    metric = CLIPIQA(backbone="mini", aggregate=None)
    pictures = photos()
    with torch.no_grad():
        scores = {name: metric(x, QUESTIONS)[0].numpy() for name, x in pictures.items()}
        places = quality_map(metric, pictures["right half blurred"], "sharpness", upsample=True)[0, 0].numpy()
    for name, values in scores.items():
        print(f"mini, {name}:", ", ".join(f"{q} {v:.3f}" for q, v in zip(QUESTIONS, values, strict=True)))
    for other in args.others:
        import pyiqa

        metric_name, _, file = other.partition("=")
        net = pyiqa.create_metric(metric_name, pretrained_model_path=file, device="cpu")
        print(f"{metric_name}:", ", ".join(f"{name} {net(x).item():.2f}" for name, x in pictures.items()))

    picture = pictures["right half blurred"][0].permute(1, 2, 0).numpy()
    figure = plt.figure(figsize=(9.6, 2.9), layout="constrained")
    left, middle, right = (figure.add_subplot(1, 3, 1), figure.add_subplot(1, 3, 2),
                           figure.add_subplot(1, 3, 3, projection="polar"))  # fmt: skip
    left.imshow(picture)
    left.set_title(f"quality {scores['right half blurred'][0]:.2f}", fontsize=11)
    middle.imshow(picture.mean(2), cmap="gray")
    shown = middle.imshow(places, cmap="viridis", vmin=0, vmax=1, alpha=0.6)
    middle.set_title("map of sharpness", fontsize=11)
    figure.colorbar(shown, ax=middle, shrink=0.6, ticks=[0, 0.5, 1])
    for axes in (left, middle):
        axes.set_axis_off()
    angles = np.linspace(0, 2 * np.pi, len(QUESTIONS), endpoint=False)
    for (name, values), style in zip(scores.items(), ("--", "-"), strict=True):
        right.plot(np.append(angles, 0), np.append(values, values[0]), style, color="#0f5c96", label=name)
    right.fill(angles, scores["right half blurred"], color="#0f5c96", alpha=0.2)
    right.set_xticks(angles, QUESTIONS, fontsize=8)
    right.set_yticks([0.25, 0.5, 0.75, 1], [""] * 4)
    right.set_ylim(0, 1)
    right.set_theta_offset(np.pi / 2)
    for label, angle in zip(right.get_xticklabels(), angles, strict=True):
        side = "right" if np.sin(angle) > 0 else "left"
        label.set_horizontalalignment("center" if np.sin(angle) ** 2 < 0.1 else side)
    right.legend(loc="upper left", bbox_to_anchor=(0.86, 0.12), fontsize=7, frameon=False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
