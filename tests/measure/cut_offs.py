"""Which score of mini parts blurred, dark and compressed photos from good ones.

python tests/measure/cut_offs.py BIQ2021

Good photos: those of BIQ2021's ``val``, on which mini was not trained, to which people gave a MOS of at least 0.6. The
cut-off is the score that 5 % of them do not reach. Printed is the share of damaged photos below it, at each strength.
"""

import csv

import torch
from timing import arguments, head, pixels, row

# isort: split
from photos import blurred, jpeg
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQA

COMPRESSED = ("Artifact-free photo.", "Compressed photo.")
QUESTIONS = {"quality": "quality", "sharpness": "sharpness", "brightness": "brightness", "compressed": COMPRESSED}
SHARE = 0.05


def tensor(image):
    return pil_to_tensor(image).float() / 255


DAMAGE = {
    "blur, sigma in px": {radius: lambda x, s=radius: tensor(blurred(to_pil_image(x), s)) for radius in (1, 2, 3, 5)},
    "darkened to": {factor: lambda x, s=factor: (255 * s * x).round() / 255 for factor in (0.5, 0.3, 0.2, 0.1)},
    "JPEG quality": {quality: lambda x, s=quality: tensor(jpeg(to_pil_image(x), s)) for quality in (50, 30, 20, 10)},
}


@torch.no_grad()
def scores_of(metric, images):
    """Return scores, (N, questions)."""
    return torch.cat([metric(image[None], list(QUESTIONS.values()), None) for image in images])


def main():
    folder = arguments("folder").folder
    with (folder / "scores.csv").open() as lines:
        names = [line["image"] for line in csv.DictReader(lines)
                 if line["split"] == "val" and float(line["mos"]) >= 0.6]  # fmt: skip
    photos = [pixels(folder / "images" / name) for name in names]
    metric = CLIPIQA(backbone="mini").eval()
    good = scores_of(metric, photos)
    cuts = good.quantile(SHARE, 0)
    print(f"{len(photos)} good photos; below the cut-off lie {SHARE:.0%} of them")
    head("photos", "strength", *QUESTIONS)
    row("cut-off", "", *(f"{cut:.3f}" for cut in cuts.tolist()))
    for damage, strengths in DAMAGE.items():
        for strength, damaged in strengths.items():
            below = scores_of(metric, map(damaged, photos)) < cuts
            row(damage, strength, *(f"{share:.0%}" for share in below.double().mean(0).tolist()))


if __name__ == "__main__":
    main()
