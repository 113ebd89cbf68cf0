"""Patterns all over a photo, and one damaged place in it.

Training draws forms and parameters at random (`TRAINED`, `PLACES`); judging uses other forms (`JUDGED`), which training
never drew: other shapes of a grid, other ways to warp, to repeat, to shuffle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .classic import Dice, Pixels, blurred, image_of, luma, moved, normal, pixels_of


def _coordinates(x: Pixels, angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    y, z = np.mgrid[: x.shape[0], : x.shape[1]].astype(np.float32)
    return y * np.cos(angle) + z * np.sin(angle), z * np.cos(angle) - y * np.sin(angle)


def _period(dice: Dice, low: float = 2.0, high: float = 32.0) -> float:
    return float(np.exp(dice.uniform(np.log(low), np.log(high))))


def _colored(pattern: np.ndarray, dice: Dice) -> np.ndarray:
    """In all channels alike, mostly, or in each with a share of its own."""
    share = np.ones(3) if dice.random() < 0.7 else dice.uniform(0, 1.5, 3)
    return (pattern[..., None] * share).astype(np.float32)


# Each takes an amplitude, half of the pattern's range, in [0, 1].


def sine(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """Waves in one direction, often along an axis."""
    angle = dice.choice([0, np.pi / 2, dice.uniform(0, np.pi)])
    along, _ = _coordinates(x, angle)
    return x + _colored(amplitude * np.sin(2 * np.pi * (along / _period(dice, 2.5) + dice.random())), dice)


def waves(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """Two waves added."""
    one, two = _coordinates(x, dice.choice([0, dice.uniform(0, np.pi)]))
    period, phase = _period(dice, 2.5), dice.random(2)
    pattern = np.sin(2 * np.pi * (one / period + phase[0])) + np.sin(2 * np.pi * (two / period + phase[1]))
    return x + _colored(amplitude * pattern / 2, dice)


def lines(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """A grid of lines, lighter, darker or both in turn."""
    y, z = _coordinates(x)
    period = max(2, round(_period(dice)))
    width = 1 if period < 6 else int(dice.integers(1, 3))
    oy, oz = dice.integers(0, period, 2)
    grid = ((y + oy) % period < width) | ((z + oz) % period < width)
    if dice.random() < 0.3:
        grid = (y + oy) % period < width
    return x + _colored(2 * amplitude * grid * dice.choice([-1, 1]), dice)


def stripes(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """Stripes of equal width along an axis."""
    along = _coordinates(x)[dice.integers(2)]
    period = max(2, 2 * round(_period(dice) / 2))
    return x + _colored(amplitude * np.where((along + dice.integers(period)) % period < period / 2, 1, -1), dice)


def checkerboard(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    y, z = _coordinates(x)
    side = max(1, round(_period(dice) / 2))
    return x + amplitude * np.where((y // side + z // side) % 2 < 1, 1, -1)[..., None]


def dots(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """Round dots in rows, every other row moved by half a period."""
    y, z = _coordinates(x)
    period = max(4.0, _period(dice))
    row = np.floor(y / period)
    away = np.hypot(y / period - row - 0.5, (z / period + 0.5 * (row % 2)) % 1 - 0.5)
    return x + 2 * amplitude * (away < 0.3)[..., None] * dice.choice([-1, 1])


def triangles(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """Diagonal waves, straight up and down."""
    along, _ = _coordinates(x, dice.choice([np.pi / 4, 3 * np.pi / 4]))
    return x + amplitude * (4 * np.abs((along / _period(dice, 3)) % 1 - 0.5) - 1)[..., None]


def decoder(x: Pixels, amplitude: float, dice: Dice) -> Pixels:
    """What a decoder leaves that upsamples by 2 to 8: one random tile, repeated."""
    side = int(dice.choice([2, 4, 8, 16]))
    tile = normal(dice, side, side, 1)
    tile = tile - tile.mean()
    tile = tile / max(float(tile.std()), 1e-6)
    rows, columns = (-(-length // side) for length in x.shape[:2])
    return x + amplitude * 0.7 * np.tile(tile, (rows, columns, 1))[: x.shape[0], : x.shape[1]]


# Each takes a strength in [0, 1].


def seams(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Tiles of which each has an offset of its own, as after tiled decoding."""
    side = int(dice.integers(40, 161))
    top, left = dice.integers(0, side, 2)
    y, z = ((np.arange(length) + start) // side for length, start in zip(x.shape[:2], (top, left), strict=True))
    share = np.ones(3) if dice.random() < 0.6 else dice.uniform(0, 1.4, 3)
    offset = normal(dice, y.max() + 1, z.max() + 1, 1) * (0.03 + 0.07 * strength) * share
    return x + offset[y][:, z].astype(np.float32)


def seam_lines(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Tiles of which each shows a place some pixels away, with a border one can see."""
    side, found = int(dice.integers(48, 161)), x.copy()
    reach = 1 + round(5 * strength)
    for top in range(0, x.shape[0], side):
        for left in range(0, x.shape[1], side):
            place = np.s_[top : top + side, left : left + side]
            found[place] = np.roll(x, dice.integers(-reach, reach + 1, 2), (0, 1))[place]
            found[place] += 0.03 * strength * float(dice.standard_normal())
    return found


def seam_cross(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Four parts, lighter and darker in turn."""
    y, z = (np.arange(length) > length * dice.uniform(0.35, 0.65) for length in x.shape[:2])
    step = (0.04 + 0.06 * strength) * np.where(y[:, None] ^ z[None], 1, -1)
    return x + step[..., None].astype(np.float32)


def ghost(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """A second copy some pixels beside, mixed in."""
    angle, length = dice.uniform(0, 2 * np.pi), dice.uniform(4, 24)
    shifted = ndimage.shift(x, (length * np.sin(angle), length * np.cos(angle), 0), order=1, mode="nearest")
    share = 0.12 + 0.33 * strength
    return (1 - share) * x + share * shifted


def ghost_light(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Two lighter echoes, on one side each, as of reflections."""
    step = int(dice.integers(8, 17))
    echo = np.roll(x, step, 1) + 0.5 * np.roll(x, 2 * step, 1)
    share = 0.12 + 0.25 * strength
    return x + share * (echo / 1.5 - luma(x).mean())


def warp(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Places moved by a smooth random field."""
    scale = _period(dice, 4, 28)
    field = [blurred(normal(dice, *x.shape[:2]), scale) for _ in range(2)]
    reach = (0.12 + 0.18 * strength) * scale + 0.6
    return moved(x, *(reach * part / max(float(part.std()), 1e-6) for part in field))


def wobble(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Rows and columns that swing."""
    y, z = _coordinates(x)
    period, reach = _period(dice, 12, 64), 0.8 + 3.2 * strength
    phase = dice.random(2)
    return moved(
        x, reach * np.sin(2 * np.pi * (z / period + phase[0])), reach * np.sin(2 * np.pi * (y / period + phase[1]))
    )


def swirl(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Waves that run outwards from a point."""
    y, z = _coordinates(x)
    y, z = y - dice.uniform(0.2, 0.8) * x.shape[0], z - dice.uniform(0.2, 0.8) * x.shape[1]
    away = np.hypot(y, z) + 1e-3
    push = (1 + 3 * strength) * np.sin(2 * np.pi * away / dice.uniform(16, 40)) / away
    return moved(x, push * y, push * z)


def halos(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Sharpened too much, over a wide radius."""
    sigma = dice.uniform(2, 9)
    return x + (0.8 + 2.2 * strength) * (x - blurred(x, sigma))


def ringing(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Echoes beside edges: a band of frequencies raised."""
    sigma = dice.uniform(1.2, 3.0)
    return x + (1 + 2.5 * strength) * (blurred(x, sigma) - blurred(x, 2 * sigma))


def halo_box(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Halos with a straight border."""
    side = int(dice.choice([7, 13, 21]))
    return x + (0.8 + 2.2 * strength) * (x - ndimage.uniform_filter(x, (side, side, 1), mode="nearest"))


def banding(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Few levels, in all channels or in the luma."""
    levels = 20 - 14 * strength + dice.uniform(-1, 1)
    start = dice.random()
    if dice.random() < 0.5:
        return (np.floor(x * levels + start) + 0.5 - start) / levels
    grey = luma(x)[..., None]
    return x - grey + (np.floor(grey * levels + start) + 0.5 - start) / levels


def banding_smooth(x: Pixels, strength: float, dice: Dice) -> Pixels:
    """Steps of the sixth root of light, finer in the dark: other borders than those of `banding`."""
    levels = 16 - 9 * strength
    return (np.rint(np.clip(x, 0, 1) ** 0.6 * levels) / levels) ** (1 / 0.6)


# One place: (piece of the photo, another photo's piece of the same size) to what is seen there.


def noise_place(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Noise, normal or uniform, fine or in small blocks, alone or added."""
    height, width = piece.shape[:2]
    side = int(dice.choice([1, 1, 2, 4]))
    shape = -(-height // side), -(-width // side), int(dice.choice([1, 3]))
    grain = normal(dice, *shape) if dice.random() < 0.5 else dice.uniform(-1.7, 1.7, shape).astype(np.float32)
    grain = np.repeat(np.repeat(grain, side, 0), side, 1)[:height, :width]
    if dice.random() < 0.5:
        return piece + dice.uniform(0.12, 0.4) * grain
    return 0.5 + dice.uniform(0.15, 0.35) * grain + np.zeros_like(piece)


def shuffled_place(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Squares in random order; a square may be one pixel."""
    side = int(dice.choice([1, 2, 4, 8]))
    rows, columns = piece.shape[0] // side, piece.shape[1] // side
    found = piece.copy()
    tiles = piece[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    tiles = tiles.reshape(rows * columns, side, side, 3)[dice.permutation(rows * columns)]
    found[: rows * side, : columns * side] = (
        tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    )
    return found


def coarse_place(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Shrunk and enlarged again, with any filter; sometimes another photo's piece."""
    image = image_of(other if dice.random() < 0.4 else piece)
    factor, down, up = dice.uniform(3, 12), int(dice.choice([2, 3, 4])), int(dice.choice([0, 2, 3]))
    small = image.resize([max(2, round(side / factor)) for side in image.size], down)
    return pixels_of(small.resize(image.size, up))


def flat_place(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """One colour: any, or the place's own mean, a little changed."""
    color = dice.random(3) if dice.random() < 0.6 else piece.mean((0, 1)) + dice.uniform(-0.2, 0.2)
    return np.broadcast_to(color, piece.shape).astype(np.float32)


def mixed_place(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """A place warped, with a grid, or with echoes."""
    apply = (warp, lines, ghost)[dice.integers(3)]
    return apply(piece, 0.12 if apply is lines else 1.0, dice)


def noise_blocks(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """8×8 blocks of random colour."""
    grain = dice.random((-(-piece.shape[0] // 8), -(-piece.shape[1] // 8), 3), dtype=np.float32)
    return np.repeat(np.repeat(grain, 8, 0), 8, 1)[: piece.shape[0], : piece.shape[1]]


def noise_impulses(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """A third of the pixels at random, 0 or 1."""
    return np.where(dice.random((*piece.shape[:2], 1)) < 0.3, dice.integers(0, 2, piece.shape), piece)


def shuffled_rows(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Pixels moved at random by up to 12 px, as through rough glass."""
    return moved(piece, *(dice.uniform(-12, 12, (2, *piece.shape[:2])).astype(np.float32)))


def shuffled_turned(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Squares of 6 px, each turned and moved."""
    side = 6
    rows, columns = piece.shape[0] // side, piece.shape[1] // side
    found, order = piece.copy(), dice.permutation(rows * columns)
    for number, source in enumerate(order):
        y, z = divmod(number, columns)
        v, w = divmod(int(source), columns)
        tile = piece[v * side : (v + 1) * side, w * side : (w + 1) * side]
        found[y * side : (y + 1) * side, z * side : (z + 1) * side] = np.rot90(tile, int(dice.integers(4)))
    return found


def coarse_means(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """Another photo's piece by the means of 8×8 pixels, enlarged with Lanczos' filter."""
    small = image_of(other).resize([max(2, side // 8) for side in other.shape[1::-1]], 4)
    return pixels_of(small.resize(other.shape[1::-1], 1))


def coarse_mosaic(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    """The place itself, in 10×10 px of one colour."""
    image = image_of(piece)
    return pixels_of(image.resize([max(2, side // 10) for side in image.size], 4).resize(image.size, 0))


def flat_grey(piece: Pixels, other: Pixels, dice: Dice) -> Pixels:
    return np.full_like(piece, 0.5)


Place = Callable[[Pixels, Pixels, Dice], Pixels]
TRAINED = {
    "sine": sine, "waves": waves, "lines": lines, "stripes": stripes, "tile": decoder, "seams": seams,
    "seam lines": seam_lines, "ghost": ghost, "warp": warp, "wobble": wobble, "halos": halos, "ringing": ringing,
    "banding": banding,
}  # fmt: skip
AMPLITUDES = {"sine", "waves", "lines", "stripes", "tile", "checkerboard", "dots", "triangle waves"}
"""Patterns whose strength is an amplitude, 1.5 to 3 % of the range: 3 to 6 % from the lowest to the highest value."""

JUDGED = {
    "checkerboard": checkerboard, "dots": dots, "triangle waves": triangles, "seams in a cross": seam_cross,
    "echoes": ghost_light, "ripples": swirl, "box halos": halo_box, "banding, other steps": banding_smooth,
}  # fmt: skip
PLACES: dict[str, Place] = {
    "noise": noise_place, "shuffled": shuffled_place, "coarse": coarse_place, "flat": flat_place, "mixed": mixed_place,
}  # fmt: skip
JUDGED_PLACES: dict[str, Place] = {
    "noise, blocks": noise_blocks, "noise, impulses": noise_impulses, "shuffled, glass": shuffled_rows,
    "shuffled, turned": shuffled_turned, "coarse, another photo": coarse_means, "coarse, mosaic": coarse_mosaic,
    "flat, grey": flat_grey,
}  # fmt: skip


def pattern(x: Pixels, name: str, strength: float, dice: Dice) -> Pixels:
    """The photo with a pattern; the strength in [0, 1]."""
    return (TRAINED | JUDGED)[name](x, 0.015 * 2**strength if name in AMPLITUDES else strength, dice)


def place_of(shape: tuple[int, ...], share: float, dice: Dice, aspect: float = 1.0) -> tuple[slice, slice]:
    """A rectangle with this share of the area, anywhere."""
    height = min(shape[0], max(16, round((share * shape[0] * shape[1] * aspect) ** 0.5)))
    width = min(shape[1], max(16, round(share * shape[0] * shape[1] / height)))
    top, left = dice.integers(0, shape[0] - height + 1), dice.integers(0, shape[1] - width + 1)
    return slice(top, top + height), slice(left, left + width)


def with_place(x: Pixels, other: Pixels, make: Place, where: tuple[slice, slice], dice: Dice) -> Pixels:
    """The photo with one damaged place; `other` is another photo, of which a random piece may be seen."""
    found = x.copy()
    height, width = (side.stop - side.start for side in where)
    other = np.pad(other, [(0, max(0, height - len(other))), (0, max(0, width - other.shape[1])), (0, 0)], mode="wrap")
    top, left = dice.integers(0, len(other) - height + 1), dice.integers(0, other.shape[1] - width + 1)
    found[where] = make(x[where], other[top : top + height, left : left + width], dice)
    return found
