"""What commands are given: a folder with a file of every kind, votes, a data set of known quality.

Grade 0 is the photo itself; 5 is the best score, each grade takes one off.
"""

import os
import stat

import pandas
import pandas as pd
from photos import blurred, noisy
from PIL import Image, ImageEnhance


def make_world(folder):
    """Photos in two versions, opinions, scores of two runs, votes, and what is no regular file."""
    for place, more in (("photos", 0), ("better", 3), ("new", 0)):
        (folder / place).mkdir()
        for n in range(4 if place != "new" else 0):
            Image.effect_noise((48, 40), 9 + 20 * n + more).convert("RGB").save(folder / place / f"{n}.png")
    names = [f"photos/{n}.png" for n in range(4)]
    scores = pd.Series(range(4))
    opinions = pd.DataFrame({"image": names, "mos": scores, "split": ["train", "train", "train", "val"]})
    opinions.to_csv(folder / "scores.csv", index=False)
    pd.DataFrame({"path": names, "quality": scores / 10}).to_csv(folder / "base.csv", index=False)
    pd.DataFrame({"path": names, "quality": scores / 9}).to_csv(folder / "new.csv", index=False)
    (folder / "votes.csv").write_text("attribute,first,second,choice\nquality,photos/0.png,photos/1.png,first\n")
    (folder / "empty").touch()
    (folder / "loop").symlink_to("loop")
    (folder / "full").symlink_to("/dev/full")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", 0o666 | stat.S_IFSOCK)


def write_votes(folder, *lines, head="attribute,first,second,choice"):
    """Write ``votes.csv`` with these lines, and return its path."""
    path = folder / "votes.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


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
