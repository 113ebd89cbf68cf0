"""The four kinds of training data as rows of statistics: rated photos, moved photos, graded groups, local windows."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from .collect import Columns, local_statistics, statistics
from .samples import VERSIONS, Q, S, detail, draw_crop, find_photos, read_photo, strengths, versions

CELLS = 8  # local windows taken from each half
DARK = 12  # and from inside and outside of a darkened part


@dataclass(frozen=True)
class Rated:
    """Photos with human scores: name and MOS in [0, 1]."""

    folder: Path
    names: tuple[str, ...]
    mos: np.ndarray

    @classmethod
    def read(cls, folder: Path, split: str) -> Rated:
        """One split of BIQ2021: `folder/images` and `folder/scores.csv`."""
        with (folder / "scores.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        return cls(
            folder, tuple(row["image"] for row in rows), np.array([float(row["mos"]) for row in rows], np.float32)
        )

    def photo(self, index: int) -> Image.Image:
        return read_photo(self.folder / "images" / self.names[index])

    def folds(self, count: int) -> np.ndarray:
        """A fold for each photo; neighbours in a source's numbering often show the same scene and stay together."""
        blocks = [f"{name[:4]} {int(Path(name).stem[5:]) // 25}" for name in self.names]
        unique = sorted(set(blocks))
        drawn = dict(zip(unique, np.random.default_rng(0).permutation(len(unique)) % count, strict=True))
        return np.array([drawn[block] for block in blocks])

    def sources(self) -> np.ndarray:
        return np.array([name[:4] for name in self.names])


@dataclass(frozen=True)
class Recipe:
    """How groups are drawn; `kinds` and `sizes` map to their odds."""

    seed: int
    kinds: dict[str, float]
    local_kinds: dict[str, float]
    sizes: dict[int, float]


class Data:
    """Makes rows by index, each from its own seed.

    Args:
        recipe: what is drawn.
        rated: photos with scores to train on.
        folders: folders of pristine photos, at most 1600 px used.
        good: from which MOS on a rated photo serves as pristine too.
    """

    def __init__(self, recipe: Recipe, rated: Rated, folders: list[Path], good: float) -> None:
        self.recipe, self.rated = recipe, rated
        self.pristine = [read_photo(path) for path in find_photos(folders)]
        self.good = np.flatnonzero(rated.mos >= good)
        self.moved = np.random.default_rng(recipe.seed).permutation(len(rated.names))

    def real(self, index: int) -> Columns:
        """A rated photo at its own size."""
        return {"stats": statistics([self.rated.photo(index)]), "photo": np.array([index])}

    def move(self, index: int) -> Columns:
        """A rated photo flipped, a little smaller and a little larger: the same score is wanted."""
        rng = np.random.default_rng((self.recipe.seed, 1, index))
        photo_index = int(self.moved[index])
        photo = self.rated.photo(photo_index)
        made = [photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
        for factor in (rng.uniform(0.65, 0.95), rng.uniform(1.05, 1.35)):
            made.append(photo.resize((round(photo.width * factor),) * 2, Image.Resampling.BICUBIC))
        return {"stats": statistics(made), "photo": np.full(3, photo_index)}

    def _source(self, rng: np.random.Generator) -> tuple[Image.Image, int]:
        """A pristine photo, and its index among the rated ones (-1: not rated)."""
        if rng.random() < 0.4:
            return self.pristine[int(rng.integers(len(self.pristine)))], -1
        index = int(rng.choice(self.good))
        return self.rated.photo(index), index

    def _draw(self, odds: dict, rng: np.random.Generator) -> str | int:
        names = list(odds)
        return names[rng.choice(len(names), p=np.array(list(odds.values())) / sum(odds.values()))]

    def group(self, index: int) -> Columns:
        """A crop, its changed versions, and one of these moved (flipped or of another size)."""
        rng = np.random.default_rng((self.recipe.seed, 2, index))
        side, kind = int(self._draw(self.recipe.sizes, rng)), str(self._draw(self.recipe.kinds, rng))
        height, width = ((side * np.array(((1, 1), (0.75, 1), (1, 0.75))[rng.integers(3)])).astype(int)
                         + rng.integers(0, 16, 2)).tolist()  # fmt: skip
        photo, source = self._source(rng)
        margin = 8
        crop = draw_crop(photo, height + margin, width + margin, rng)
        aligned = rng.random() < 0.6  # JPEG's blocks to the crop
        dy, dx = (0, 0) if aligned else rng.integers(0, margin + 1, 2)
        box = (int(dx), int(dy), int(dx) + width, int(dy) + height)
        made = versions(crop.crop(box) if aligned else crop, kind, strengths(VERSIONS - 1, rng).tolist(), rng)
        images = [image if aligned else image.crop(box) for image, _ in made]
        target = np.stack([labels.target for _, labels in made])
        weight = np.stack([labels.weight for _, labels in made])
        sharp = float(np.clip(detail(crop).mean() / 6, 0.15, 1))
        weight[:, S] *= sharp
        weight[:, Q] *= 0.4 + 0.6 * sharp
        twin = int(rng.integers(VERSIONS))
        moved = images[twin]
        if rng.random() < 0.3:
            moved = moved.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        else:
            factor = rng.choice((rng.uniform(0.7, 0.95), rng.uniform(1.05, 1.35)))
            moved = moved.resize((round(moved.width * factor), round(moved.height * factor)), Image.Resampling.BICUBIC)
        return {
            "stats": statistics(images), "target": target, "weight": weight, "photo": np.full(VERSIONS, source),
            "kind": np.full(VERSIONS, list(self.recipe.kinds).index(kind)), "moved": statistics([moved]),
            "twin": np.array([index * VERSIONS + twin]),
        }  # fmt: skip

    def window(self, index: int) -> Columns:
        """Local windows of a photo and of the same photo with one half changed: pairs of the same place.

        Columns: `stats` of the photo that was changed, `before` of the photo that was not; `target` and `weight` of
        the former; `changed`: whether the window lies in the changed half.
        """
        rng = np.random.default_rng((self.recipe.seed, 3, index))
        kind = str(self._draw(self.recipe.local_kinds, rng))
        if rng.random() < 0.35:
            source = int(rng.integers(len(self.rated.names)))  # of any quality
            photo = self.rated.photo(source)
        else:
            photo, source = self._source(rng)
        height, width = rng.integers(288, 513, 2).tolist()
        crop = draw_crop(photo, height, width, rng)
        mildest = 0.05 if kind == "brightness" else 0.25  # brightness: from 0.23 times on
        before, after = versions(crop, kind, [float(rng.uniform(mildest, 1.0))], rng)
        crop = before[0]
        mixed = np.array(crop)
        axis, share, second = int(rng.integers(2)), rng.uniform(0.4, 0.6), bool(rng.integers(2))
        border = round(share * mixed.shape[axis])
        half = [slice(None), slice(None)]
        half[axis] = slice(border, None) if second else slice(None, border)
        mixed[tuple(half)] = np.asarray(after[0])[tuple(half)]
        inside = np.zeros(mixed.shape[:2], bool)
        inside[tuple(half)] = True
        rows, columns = height // 32, width // 32  # whole cells
        share_inside = _windows(inside[: rows * 32, : columns * 32].astype(np.float32))
        sharp = _windows(np.pad(detail(crop), ((0, 1), (0, 1)))[: rows * 32, : columns * 32]) / 6
        chosen = np.concatenate([_some(share_inside > 0.95, rng), _some(share_inside < 0.05, rng)])
        changed = share_inside.flat[chosen] > 0.5
        target = np.where(changed[:, None], after[1].target, before[1].target)
        weight = np.minimum(after[1].weight, before[1].weight)[None].repeat(len(chosen), 0)
        weight[:, S] *= np.clip(sharp.flat[chosen], 0.05, 1)
        weight[:, Q] *= np.clip(sharp.flat[chosen], 0.05, 1) if kind in ("blur", "rescale", "motion") else 1
        stats = [
            local_statistics(image)[:rows, :columns].reshape(rows * columns, -1)[chosen]
            for image in (Image.fromarray(mixed), crop)
        ]
        return {
            "stats": stats[0], "before": stats[1], "target": target.astype(np.float32), "weight": weight,
            "original": np.broadcast_to(before[1].target, target.shape).astype(np.float32),
            "changed": changed, "photo": np.full(len(chosen), source), "window": np.full(len(chosen), index),
            "kind": np.full(len(chosen), list(self.recipe.local_kinds).index(kind)),
        }  # fmt: skip

    def dark(self, index: int) -> Columns:
        """Local windows of a photo of any quality with one part darkened: a half, a rectangle or all around one."""
        return self._exposed(index, np.random.default_rng((self.recipe.seed, 4, index)), 0.25, 0.75)

    def light(self, index: int) -> Columns:
        """The same with one part made brighter."""
        return self._exposed(index, np.random.default_rng((self.recipe.seed, 5, index)), 1.3, 2.6)

    def _exposed(self, index: int, rng: np.random.Generator, lowest: float, highest: float) -> Columns:
        if rng.random() < 0.15:
            source = -1
            photo = self.pristine[int(rng.integers(len(self.pristine)))]
        else:
            source = int(self.moved[index % len(self.moved)])
            photo = self.rated.photo(source)
        height, width = rng.integers(352, 513, 2).tolist()
        crop = draw_crop(photo, height, width, rng)
        inside = _part(height, width, rng)
        factor = float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))
        changed_photo = np.asarray(ImageEnhance.Brightness(crop).enhance(factor))
        mixed = Image.fromarray(np.where(inside[..., None], changed_photo, np.asarray(crop)))
        rows, columns = height // 32, width // 32  # whole cells
        share = inside[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32).mean((1, 3))
        chosen = np.concatenate([_some(share > 0.5, rng, DARK), _some(share <= 0.5, rng, DARK)])
        changed = share.flat[chosen] > 0.5
        return {
            "stats": local_statistics(mixed)[:rows, :columns].reshape(rows * columns, -1)[chosen], "changed": changed,
            "target": np.where(changed, np.log2(factor), 0).astype(np.float32), "photo": np.full(len(chosen), source),
            "window": np.full(len(chosen), index),
        }  # fmt: skip


def folds_of(photo: np.ndarray, index: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The fold of each row: its rated photo's, or for one of the others (-1) any, the same for all with its index."""
    return np.where(photo >= 0, fold[photo], index % (fold.max() + 1))


def pairs_of_places(window: np.ndarray, changed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(L, 2) rows: an unchanged and a changed place of one photo, each row about once."""
    pairs = []
    for rows in np.split(np.arange(len(window)), np.flatnonzero(np.diff(window)) + 1):
        sides = [rng.permutation(rows[changed[rows] == side]) for side in (False, True)]
        pairs.append(np.stack([side[: min(map(len, sides))] for side in sides], 1))
    return np.concatenate(pairs)


def _part(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W): whether a pixel lies in the part: beyond a straight border, within a rectangle, or outside of one."""
    inside = np.zeros((height, width), bool)
    if rng.random() < 0.5:
        length, start = rng.uniform(0.3, 0.7), bool(rng.integers(2))
        spans = [(0.0, length) if start else (1 - length, 1.0), (0.0, 1.0)][:: (1, -1)[rng.integers(2)]]
    else:
        lengths = rng.uniform(0.4, 0.8, 2)
        starts = rng.uniform(0, 1 - lengths)
        spans = list(zip(starts, starts + lengths, strict=True))
    (top, bottom), (left, right) = spans
    inside[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return ~inside if rng.random() < 0.25 else inside


def _windows(values: np.ndarray) -> np.ndarray:
    """(32 h, 32 w) -> (h, w): the mean over each cell and its neighbours."""
    rows, columns = values.shape[0] // 32, values.shape[1] // 32
    cells = np.pad(values.reshape(rows, 32, columns, 32).mean((1, 3)), 1, constant_values=np.nan)
    return np.nanmean([cells[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)


def _some(where: np.ndarray, rng: np.random.Generator, count: int = CELLS) -> np.ndarray:
    found = np.flatnonzero(where)
    return rng.permutation(found)[:count]
