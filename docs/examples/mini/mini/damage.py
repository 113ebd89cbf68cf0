"""Damage of every kind as rows of statistics: chains of rising levels, damaged places, and what harms nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import classic, patterns
from .collect import Columns, statistics, to_tensor, tower
from .data import Rated
from .distort import DISTORTIONS
from .samples import draw_crop, find_photos, read_photo, versions
from .tower import of_cells, of_image

STEPS = 6  # a chain: the photo and five levels
AGAIN = ("contrast", "darken", "overexpose", "rescale", "mixture", "camera", "deep_blur")  # kinds of `samples`
KINDS = (*classic.ORDERED, *patterns.TRAINED, *AGAIN)
SIDES = {128: 0.05, 192: 0.15, 256: 0.3, 320: 0.2, 384: 0.18, 448: 0.08, 512: 0.04}  # px: probability
COVERED, UNTOUCHED, CELLS = 3, 5, 3  # cells kept of a damaged place, beside it, and of a chain


@torch.inference_mode()
def both(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of an image (S,) and of its cells (H // 32, W // 32, S), fp16."""
    maps = tower().maps(to_tensor(image))
    return of_image(maps)[0].half().numpy(), of_cells(maps)[0].permute(1, 2, 0).half().numpy()


def harmless(image: Image.Image, dice: np.random.Generator) -> list[Image.Image]:
    """Mirrored; without one row or column at a side; saved as a JPEG file of quality 95."""
    box = np.array([0, 0, *image.size]) + np.array([1, 1, -1, -1]) * (np.arange(4) == dice.integers(4))
    return [
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        image.crop(tuple(box.tolist())),
        classic.image_of(classic.saved(classic.pixels_of(image), "JPEG", quality=95)),
    ]


def by_cell(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(H, W) -> (rows, columns): the mean over each cell of 32 px; the last ones may lack a pixel."""
    missing = [(0, max(0, 32 * count - have)) for count, have in zip((rows, columns), values.shape, strict=True)]
    values = np.pad(values, missing, mode="edge")
    return values[: 32 * rows, : 32 * columns].reshape(rows, 32, columns, 32).mean((1, 3))


@dataclass(frozen=True)
class Damage:
    """Makes rows by index, each from its own seed.

    Args:
        seed: of all.
        rated: photos with scores to train on.
        folders: folders of pristine photos.
        good: from which MOS on a rated photo serves as pristine too.
        kinds: damage of a crop.
    """

    seed: int
    rated: Rated
    pristine: list[Path]
    good: float
    kinds: int = 6

    @classmethod
    def of(cls, seed: int, rated: Rated, folders: list[Path], good: float) -> Damage:
        return cls(seed, rated, find_photos(folders), good)

    def _source(self, dice: np.random.Generator) -> tuple[Image.Image, int]:
        """A photo and its index among the rated ones (-1: not rated); one in seven is of any quality."""
        drawn = dice.random()
        if drawn < 0.3:
            return read_photo(self.pristine[int(dice.integers(len(self.pristine)))]), -1
        index = int(dice.choice(np.flatnonzero(self.rated.mos >= (0.0 if drawn > 0.86 else self.good))))
        return self.rated.photo(index), index

    def _crop(self, dice: np.random.Generator, low: int = 0) -> tuple[Image.Image, int]:
        photo, source = self._source(dice)
        side = max(low, int(dice.choice(list(SIDES), p=list(SIDES.values()))))
        shape = (np.array(((1, 1), (0.75, 1), (1, 0.75))[dice.integers(3)]) * side).astype(int)
        shape = shape + dice.integers(0, 16, 2)
        return draw_crop(photo, int(shape[0]), int(shape[1]), dice), source

    def real(self, index: int) -> Columns:
        """A rated photo at its own size."""
        return {"stats": statistics([self.rated.photo(index)]), "photo": np.array([index])}

    def same(self, index: int) -> Columns:
        """A rated photo, and changes of it that harm nothing: of size, and those of `harmless`."""
        dice = np.random.default_rng((self.seed, 11, index))
        photo_index = int(np.random.default_rng(self.seed).permutation(len(self.rated.names))[index])
        photo = self.rated.photo(photo_index)
        made = harmless(photo, dice)
        for factor in (dice.uniform(0.7, 0.95), dice.uniform(1.05, 1.3)):
            made.append(photo.resize((round(photo.width * factor),) * 2, Image.Resampling.BICUBIC))
        return {"stats": statistics(made)[None], "photo": np.array([photo_index])}

    def chain(self, index: int) -> Columns:
        """A crop with several kinds of damage, each at five levels.

        Columns: `stats` (kinds, 6, S), the untouched crop first; `level` (kinds, 6); `kind`; `still` (kinds, 2, S), the
        crop before and after something harmless; `cells` (kinds, 2, 3, S), three places before and after a level of 3
        or more.
        """
        dice = np.random.default_rng((self.seed, 12, index))
        crop, source = self._crop(dice)
        before, places = both(crop)
        rows, columns = places.shape[:2]
        found: dict[str, list] = {name: [] for name in ("stats", "level", "kind", "still", "cells", "photo", "crop")}
        for name in dice.choice(KINDS, self.kinds, replace=False):
            level = np.sort(np.clip(np.arange(1, 6) + dice.uniform(-0.45, 0.45, 5), 1, 5))
            made, base, base_places = self._levels(crop, str(name), level, dice), before, places
            if len(made) == STEPS:
                base, base_places = both(made.pop(0))
            asked = int(dice.integers(2, 5))
            stats = [both(image) if number == asked else statistics([image])[0] for number, image in enumerate(made)]
            after = stats[asked][1]
            stats[asked] = stats[asked][0]
            y, z = dice.integers(0, rows, CELLS), dice.integers(0, columns, CELLS)
            same = harmless(crop, dice)[int(dice.integers(3))]
            found["stats"].append(np.stack([base, *stats]))
            found["level"].append(np.append(0, level))
            found["kind"].append(KINDS.index(name))
            found["still"].append(np.stack([before, statistics([same])[0]]))
            found["cells"].append(np.stack([base_places[y, z], after[y, z]]))
            found["photo"].append(source)
            found["crop"].append(index)
        return {name: np.stack(values) for name, values in found.items()}

    def _levels(self, crop: Image.Image, name: str, level: np.ndarray, dice: np.random.Generator) -> list[Image.Image]:
        """The crop at each level; before them the untouched one, if it is another."""
        seed = int(dice.integers(1 << 31))
        if name in classic.KINDS:
            return [classic.damaged(crop, name, one, np.random.default_rng(seed)) for one in level]
        x = classic.pixels_of(crop)
        if name in patterns.TRAINED:
            return [
                classic.image_of(patterns.pattern(x, name, (one - 1) / 4, np.random.default_rng(seed))) for one in level
            ]
        if name in DISTORTIONS:
            return [DISTORTIONS[name](crop, one / 5, np.random.default_rng(seed)) for one in level]
        return [image for image, _ in versions(crop, name, (level / 5).tolist(), dice)]

    def place(self, index: int) -> Columns:
        """A crop, and four times with one damaged place.

        Columns: `stats` (5, S); `kind` (4,); `covered`, `before` and `beside` (4, n, S): cells in the place, the same
        ones before, and others of the damaged photo.
        """
        dice = np.random.default_rng((self.seed, 13, index))
        crop, source = self._crop(dice, 320)
        other = classic.pixels_of(self._source(dice)[0])
        x = classic.pixels_of(crop)
        whole, places = both(crop)
        found: dict[str, list] = {name: [] for name in ("covered", "before", "beside", "kind")}
        stats = [whole]
        rows, columns = places.shape[:2]
        for _ in range(4):
            name = str(dice.choice(list(patterns.PLACES), p=(0.24, 0.24, 0.24, 0.18, 0.1)))
            where = patterns.place_of(x.shape, dice.uniform(0.008, 0.035), dice, dice.uniform(0.6, 1.6))
            image = classic.image_of(patterns.with_place(x, other, patterns.PLACES[name], where, dice))
            one, after = both(image)
            stats.append(one)
            inside = np.zeros(x.shape[:2], np.float32)
            inside[where] = 1
            share = by_cell(inside, rows, columns).ravel()
            most = np.argsort(-share, kind="stable")
            half = most[: max(1, int((share >= 0.5).sum()))]
            covered, beside = dice.choice(half, COVERED), dice.choice(np.flatnonzero(share == 0), UNTOUCHED)
            flat, old = after.reshape(rows * columns, -1), places.reshape(rows * columns, -1)
            found["covered"].append(flat[covered])
            found["before"].append(old[covered])
            found["beside"].append(flat[beside])
            found["kind"].append(list(patterns.PLACES).index(name))
        return {"stats": np.stack(stats)[None], "photo": np.array([source]),
                **{name: np.stack(values)[None] for name, values in found.items()}}  # fmt: skip
