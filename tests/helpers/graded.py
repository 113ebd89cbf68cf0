"""A data set in pyiqa's own format whose true quality is known: photos, each distorted in grades, scored by the grade.

Grade 0 is the photo itself; 5 is the best score, each grade takes one off.
"""

import csv

from distortions import blurred, jpeg, noisy
from PIL import Image, ImageEnhance

GRADES = 4
BEST = 5.0
TABLE = "meta_info_GradedDataset.csv"


KINDS = {
    "blur": lambda image, grade: blurred(image, 0.8 * grade),
    "noise": lambda image, grade: noisy(image, 8 * grade),
    "jpeg": lambda image, grade: jpeg(image, (40, 20, 10, 5)[grade - 1]),
    "contrast": lambda image, grade: ImageEnhance.Contrast(image).enhance(1 - 0.2 * grade),
    "colour": lambda image, grade: ImageEnhance.Color(image).enhance(1 - 0.25 * grade),
}


def graded_data_set(data_root, photos, kinds=tuple(KINDS), size=(256, 192)):
    """Write it under ``data_root``, and return its options as pyiqa's ``default_dataset_configs.yml`` would have them.

    The split ``official_split`` has every third photo in 'train' and the others in 'test'.
    """
    images = data_root / "graded" / "images"
    images.mkdir(parents=True)
    rows = []
    for number, photo in enumerate(photos):
        split = "train" if number % 3 == 2 else "test"
        with Image.open(photo) as file:
            pristine = file.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        versions = {"pristine_0": pristine}
        for kind in kinds:
            versions |= {f"{kind}_{grade}": KINDS[kind](pristine, grade) for grade in range(1, GRADES + 1)}
        for version, image in versions.items():
            name = f"{photo.stem}_{version}.png"
            image.save(images / name, compress_level=1)
            rows.append((name, BEST - int(version[-1]), split))
    table = data_root / "meta_info" / TABLE
    table.parent.mkdir(exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["img_name", "mos", "official_split"])
        writer.writerows(rows)
    return {
        "name": "Graded",
        "type": "GeneralNRDataset",
        "dataroot_target": "./datasets/graded/images",
        "meta_info_file": f"./datasets/meta_info/{TABLE}",
        "split_index": "official_split",
        "phase": "test",
        "mos_range": [0, 5],
        "lower_better": False,
    }
