"""What the commands are given: photos, odd files, pairs, votes, scores, seeded weights. All of it seeded."""

import csv
import random
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

CHECKOUT = Path(__file__).parents[3]


def make_inputs(folder, photos):
    """Fill a new folder with forty photos out of another folder, a few small ones, and what is made of them."""
    from seeded import save_seeded  # in a folder that timing.py adds to the path

    for name in ("few", "photos", "low", "high"):
        (folder / name).mkdir(parents=True)
    drawn = random.Random(0).sample(sorted(photos.rglob("*.jpg")), 40)
    for path in drawn:
        shutil.copyfile(path, folder / "photos" / path.name)
        high = Image.open(path).convert("RGB").resize((192, 192))
        high.save(folder / "high" / f"{path.stem}.png")
        high.filter(ImageFilter.GaussianBlur(1)).save(folder / "low" / f"{path.stem}.png")
    bundled = sorted((CHECKOUT / "tests/data").glob("*.jpg"))
    for number, path in enumerate([*bundled, *drawn[:10]]):
        side = (256, 192) if number % 3 else (160, 224)
        Image.open(path).convert("RGB").resize(side).save(folder / "few" / f"{path.stem}.png")
    _odd_files(folder / "odd")
    _tables(folder)
    (folder / "weights").mkdir()
    save_seeded(folder / "weights")


def _odd_files(folder):
    """Every way to pixels that docs/scoring.md lists, and files that cannot be scored."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    colour = Image.fromarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(2))
    grey = colour.convert("L")
    deep = Image.fromarray(noise.integers(0, 65536, (48, 64), dtype=np.uint16))
    alpha = colour.copy()
    alpha.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, image, options in (
        ("grey.png", grey, {}), ("bilevel.png", grey.convert("1"), {}), ("alpha.png", alpha, {}),
        ("grey alpha.png", alpha.convert("LA"), {}), ("palette.png", colour.convert("P"), {}),
        ("cmyk.jpg", colour.convert("CMYK"), {}), ("deep.png", deep, {}), ("deep.tiff", deep, {}),
        ("float.tiff", grey.convert("F"), {}), ("turned.jpg", colour, {"exif": turned}),
        ("frames.gif", colour.convert("P"), {"save_all": True, "append_images": [grey.convert("P")]}),
        ("photo.webp", colour, {}), ("photo.bmp", colour, {}), ("photo.jp2", colour, {}), ("#7, é 画.png", colour, {}),
        ("small.png", colour.crop((0, 0, 40, 31)), {}), ("whole.jpg", colour, {}),
    ):  # fmt: skip
        image.save(folder / name, **options)
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image\n")
    (folder / ".hidden.png").write_bytes((folder / "grey.png").read_bytes())


def _tables(folder):
    """Scores and votes out of a hat: that they mean nothing does not matter here."""
    hat = random.Random(0)
    names = sorted(path.name for path in (folder / "photos").iterdir())
    scores = [(f"photos/{name}", f"{hat.uniform(1, 5):.3f}") for name in names]
    small = [(f"few/{path.name}", f"{hat.uniform(1, 5):.3f}") for path in sorted((folder / "few").iterdir())]
    splits = ("train", "train", "train", "val", "test")
    pairs = [(attribute, *hat.sample(names, 2)) for attribute in ("sharpness", "brightness") for _ in names[::2]]
    for file, rows in (
        ("scores.csv", [("path", "score"), *scores]),
        ("few.csv", [("path", "score"), *small]),
        ("split.csv", [("image", "mos", "split"), *((*row, splits[n % 5]) for n, row in enumerate(scores))]),
        ("missing.csv", [("path", "score"), *small, ("few/nowhere.png", "3")]),
        (
            "votes.csv",
            [("attribute", "first", "second", "choice")]
            + [(*pair, hat.choice(("first", "second", "tie"))) for pair in pairs for _ in range(3)],
        ),
        (
            "counts.csv",
            [("attribute", "first", "second", "votes_first", "votes_second")]
            + [(*pair, hat.randint(0, 9), hat.randint(0, 9)) for pair in pairs],
        ),
    ):
        with (folder / file).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    (folder / "words.txt").write_text("Crisp photo.|Hazy photo.\nGood photo.|Bad photo.\nBright photo.|Dark photo.\n")
