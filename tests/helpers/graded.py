"""A data set in pyiqa's own format whose true quality is known: photos, each distorted in grades, scored by the grade.

Grade 0 is the photo itself; 5 is the best score, each grade takes one off.
"""

import pandas
from distortions import blurred, noisy
from PIL import Image, ImageEnhance

GRADES = 4
BEST = 5.0
TABLE = "meta_info_GradedDataset.csv"
KINDS = {
    "blur": lambda image, grade: blurred(image, 0.8 * grade),
    "noise": lambda image, grade: noisy(image, 8 * grade),
    "contrast": lambda image, grade: ImageEnhance.Contrast(image).enhance(1 - 0.2 * grade),
}


def graded_data_set(data_root, photos, kinds, size):
    """Write it under ``data_root``, and return its options as pyiqa's ``default_dataset_configs.yml`` would have them.

    The split ``official_split`` is 'test' throughout.
    """
    images = data_root / "graded" / "images"
    table = data_root / "meta_info" / TABLE
    images.mkdir(parents=True)
    table.parent.mkdir(exist_ok=True)
    rows = []
    for photo in photos:
        pristine = Image.open(photo).convert("RGB").resize(size, Image.Resampling.LANCZOS)
        versions = {("pristine", 0): pristine}
        versions |= {(kind, grade): KINDS[kind](pristine, grade) for kind in kinds for grade in range(1, GRADES + 1)}
        for (kind, grade), image in versions.items():
            rows.append((f"{photo.stem}_{kind}_{grade}.png", BEST - grade, "test"))
            image.save(images / rows[-1][0])
    pandas.DataFrame(rows, columns=["img_name", "mos", "official_split"]).to_csv(table, index=False)
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
