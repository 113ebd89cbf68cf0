"""What the commands are given: photos, odd files, pairs, votes, scores, seeded weights. All of it seeded."""

import random
import shutil
from pathlib import Path

import numpy as np
import pandas
import torch
from PIL import Image, ImageFilter
from safetensors.torch import load_file
from timing import photos, seeded

DATA = Path(__file__).parents[2] / "data"
BLUR = ImageFilter.GaussianBlur


def make_inputs(folder, given):
    """Fill a new folder with up to forty photos out of another folder, a few small ones, and what is made of them."""
    for name in ("few", "photos", "low", "middle", "high", "fewer", "smaller", "odd", "weights"):
        (folder / name).mkdir(parents=True)
    every = photos(given)
    drawn = random.Random(0).sample(every, min(40, len(every)))
    for number, path in enumerate(map(Path, drawn)):
        shutil.copy(path, folder / "photos")
        high = Image.open(path).convert("RGB").resize((192, 192))
        high.save(folder / "high" / f"{path.stem}.png")
        high.resize((128, 128)).save(folder / "smaller" / f"{path.stem}.png")
        if number:  # the first is missing
            high.filter(BLUR(0.3)).save(folder / "fewer" / f"{path.stem}.png")
        high.filter(BLUR(0.5)).save(folder / "middle" / f"{path.stem}.png")
        high.filter(BLUR(1)).save(folder / "low" / f"{path.stem}.png")
    for number, path in enumerate(map(Path, [*photos(DATA), *drawn[:10]])):
        side = (256, 192) if number % 3 else (160, 224)
        Image.open(path).convert("RGB").resize(side).save(folder / "few" / f"{path.stem}.png")
    _odd_files(folder / "odd")
    _tables(folder)
    _weights(folder / "weights")


def _weights(folder):
    """Seeded towers under the names that the package looks for, and two of them as files of QualiCLIP and LIQE."""
    towers = {backbone: load_file(seeded(backbone, folder)["clip_weights"]) for backbone in ("RN50", "ViT-B/32")}
    tower = {f"clip_model.{name}": tensor for name, tensor in towers["RN50"].items()}
    features = torch.randn(14, 1024, generator=torch.Generator().manual_seed(0))
    torch.save({**tower, "prompts_features": torch.nn.functional.normalize(features, dim=1)}, folder / "QualiCLIP.pth")
    tower = {f"clip_model.{name}": tensor for name, tensor in towers["ViT-B/32"].items()}
    torch.save({"params": tower}, folder / "liqe.pt")


def _odd_files(folder):
    """Every way to pixels that docs/scoring.md lists, and files that cannot be scored."""
    noise = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    colour = Image.fromarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)).filter(BLUR(2))
    grey = colour.convert("L")
    deep = Image.fromarray(noise.integers(0, 65536, (48, 64), dtype=np.uint16))
    alpha = colour.copy()
    alpha.putalpha(grey)
    images = {
        "alpha.png": alpha,
        "grey alpha.png": alpha.convert("LA"),
        "palette.png": colour.convert("P"),
        "cmyk.jpg": colour.convert("CMYK"),
        "bilevel.png": grey.convert("1"),
        "float.tiff": grey.convert("F"),
        "small.png": colour.crop((0, 0, 40, 31)),
        **dict.fromkeys(("grey.png", ".hidden.png"), grey),
        **dict.fromkeys(("deep.png", "deep.tiff"), deep),
        **dict.fromkeys(("whole.jpg", "photo.webp", "photo.bmp", "photo.jp2", "#7, é 画.png"), colour),
    }
    for name, image in images.items():
        image.save(folder / name)
    colour.save(folder / "turned.jpg", exif=turned)
    colour.save(folder / "frames.gif", save_all=True, append_images=[grey])
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image\n")


def _tables(folder):
    """Scores and votes out of a hat: that they mean nothing does not matter here."""
    hat = random.Random(0)
    draws = np.random.default_rng(0)

    def scored(name):
        paths = [f"{name}/{path.name}" for path in sorted((folder / name).iterdir())]
        return pandas.DataFrame({"path": paths, "score": draws.uniform(1, 5, len(paths)).round(3)})

    scores = scored("photos")
    small = scored("few")
    names = [path.partition("/")[2] for path in scores["path"]]
    pairs = [(attribute, *hat.sample(names, 2)) for attribute in ("sharpness", "brightness") for _ in range(20)]
    counts = pandas.DataFrame(pairs, columns=["attribute", "first", "second"])
    votes = counts.loc[counts.index.repeat(3)]
    splits = (["train", "train", "train", "val", "test"] * 8)[: len(scores)]
    tables = {
        "scores": scores,
        "few": small,
        "split": scores.set_axis(["image", "mos"], axis=1).assign(split=splits),
        "missing": pandas.concat([small, pandas.DataFrame({"path": ["few/nowhere.png"], "score": [3]})]),
        "votes": votes.assign(choice=draws.choice(["first", "second", "tie"], 120)),
        "counts": counts.assign(votes_first=draws.integers(0, 9, 40), votes_second=draws.integers(0, 9, 40)),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    names = [f"photo{number}.png" for number in range(30)]
    opinions = np.linspace(1, 5, 30)
    judges = {
        "mos": opinions,
        "judge": opinions + draws.normal(0, 0.7, 30),
        "niqe": 9 - opinions + draws.normal(0, 1, 30),
    }
    judges["scene"] = [number // 10 for number in range(30)]
    pandas.DataFrame({"image": names, **judges}).to_csv(folder / "judges.csv", index=False)
    (folder / "paper.csv").write_text("method,psnr-y,ssim-y\nlow,30.12,0.91\nmiddle,35.5,0.97\n")
    (folder / "words.txt").write_text("Crisp photo.|Hazy photo.\nGood photo.|Bad photo.\nBright photo.|Dark photo.\n")
