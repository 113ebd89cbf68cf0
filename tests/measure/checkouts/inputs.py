"""What the commands are given: photos, odd files, pairs, votes, scores, seeded weights. All of it seeded."""

from __future__ import annotations

import csv
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from .runner import CHECKOUT

FEW = 12
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def make_inputs(folder: Path, photos: Path, count: int, weights: bool = True) -> None:
    """Fill ``folder``.

    Args:
        folder: What it has stays.
        photos: Folder to draw photos from.
        count: How many; the bundled ones of the checkout come in addition, to ``few``.
        weights: Whether to make seeded weights of RN50, too.
    """
    (folder / "few").mkdir(parents=True)
    found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"there are no photos in {photos}: name a folder with --photos")
    drawn = sorted(random.Random(0).sample(found, min(count, len(found))))
    (folder / "photos").mkdir()
    for path in drawn:
        shutil.copyfile(path, folder / "photos" / path.name)
    bundled = sorted({path.name: path for path in CHECKOUT.rglob("data/**/*.jpg")}.values())
    for number, path in enumerate([*bundled, *drawn][:FEW]):
        with Image.open(path) as image:
            side = (256, 192) if number % 3 else (160, 224)
            image.convert("RGB").resize(side, Image.Resampling.BICUBIC).save(folder / "few" / f"{path.stem}.png")
    _odd_files(folder / "odd")
    _low_and_high(folder)
    _tables(folder)
    _pyiqa_data_set(folder)
    if weights:
        seeded = next((CHECKOUT / "tests").rglob("seeded.py"))
        subprocess.run([sys.executable, str(seeded), str(folder / "weights")], check=True, stdout=subprocess.DEVNULL)


def doc_blocks(checkout: Path, folder: Path) -> list[Path]:
    """Every Python block of the README and of docs/, as a script that seeds torch first.

    The files that they name lie in ``files`` beside them, but for learned prompts.
    """
    shutil.copytree(checkout / "tests/data", folder / "files/tests/data")
    shutil.copyfile(checkout / "tests/data/canyon-wren.jpg", folder / "files/photo.jpg")
    options = re.search(r"```yaml\n(.*?)```", (checkout / "docs/loss.md").read_text(), re.DOTALL)
    (folder / "files/train.yml").write_text(options[1] if options else "")
    blocks = []
    for page in [checkout / "README.md", *sorted((checkout / "docs").glob("*.md"))]:
        for number, found in enumerate(re.finditer(r"^( *)```python\n(.*?)^ *```", page.read_text(), re.M | re.S)):
            code = "\n".join(line.removeprefix(found[1]) for line in found[2].splitlines())
            blocks.append(folder / f"{page.stem.lower()}-{number + 1}.py")
            blocks[-1].write_text(f"import pyiqa, torch; torch.manual_seed(0)\n{code}\n")
    return blocks


def _odd_files(folder: Path) -> None:
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


def _low_and_high(folder: Path) -> None:
    for name in ("low", "high"):
        (folder / name).mkdir()
    for path in sorted((folder / "photos").iterdir()):
        with Image.open(path) as image:
            high = image.convert("RGB").resize((192, 192), Image.Resampling.BICUBIC)
        high.save(folder / "high" / f"{path.stem}.png", compress_level=1)
        high.filter(ImageFilter.GaussianBlur(1)).save(folder / "low" / f"{path.stem}.png", compress_level=1)


def _tables(folder: Path) -> None:
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
    (folder / "list.txt").write_text("".join(f"../../in/few/{Path(path).name}\n" for path, _ in small))
    (folder / "list0.txt").write_bytes(b"\0".join(f"../../in/{path}".encode() for path, _ in small))


def _pyiqa_data_set(folder: Path) -> None:
    """A data set in pyiqa's own layout, and a comparison's YAML that names it."""
    images = sorted((folder / "few").iterdir())
    root = folder / "datasets"
    (root / "meta_info").mkdir(parents=True)
    shutil.copytree(folder / "few", root / "small")
    lines = [f"{path.name},{number % 5 + 1},{('train', 'test')[number % 3 > 0]}" for number, path in enumerate(images)]
    (root / "meta_info/small.csv").write_text("\n".join(["img_name,mos,official_split", *lines]) + "\n")
    (folder / "compare.yml").write_text(
        """metrics:
  clipiqa: {metric_opts: {backbone: mini}}
  grey:
    metric_opts: {type: Entropy}
    metric_mode: NR
    lower_better: false
    score_range: 0, 8
datasets:
  small:
    {type: GeneralNRDataset, dataroot_target: ./datasets/small, meta_info_file: ./datasets/meta_info/small.csv,
     split_index: official_split, phase: test, mos_range: [1, 5], lower_better: false}
"""
    )
