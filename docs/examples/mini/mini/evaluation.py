"""Measurements of a mini CLIP on photos it was not trained on. Each function returns plain numbers for a report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy.stats import spearmanr

from .data import Rated
from .distort import GRADES, jpeg_quality, parameter, rescale_by
from .model import Mini, compute
from .report import area
from .words import AXES, LOOKS

Photos = dict[str, Image.Image]
CANONICAL = [LOOKS[axis].canonical for axis in AXES]
QUALITY = 0

# Fig. 4: what is changed, the axis that should follow, seven steps from low to high score.
ATTRIBUTES: dict[str, tuple[str, Callable[[Image.Image, float], Image.Image], np.ndarray]] = {
    "brightness": ("brightness", lambda im, v: ImageEnhance.Brightness(im).enhance(v), np.linspace(0.4, 1.6, 7)),
    "noise": ("noisiness", lambda im, v: add_noise(im, v), np.linspace(60, 0, 7)),
    "colour": ("colorfulness", lambda im, v: ImageEnhance.Color(im).enhance(v), np.linspace(0.0, 1.8, 7)),
    "blur": ("sharpness", lambda im, v: im.filter(ImageFilter.GaussianBlur(float(v))), np.linspace(6, 0, 7)),
    "contrast": ("contrast", lambda im, v: ImageEnhance.Contrast(im).enhance(v), np.linspace(0.4, 1.6, 7)),
    "sharpness filter": ("sharpness", lambda im, v: ImageEnhance.Sharpness(im).enhance(v), np.linspace(0.0, 2.4, 7)),
}
# Distortions by grade; the mild ones are counted apart.
KINDS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "blur": lambda im, g: im.filter(ImageFilter.GaussianBlur(parameter("blur", g))),
    "noise": lambda im, g: add_noise(im, parameter("noise", g)),
    "jpeg": lambda im, g: jpeg_quality(im, round(parameter("jpeg", g))),
    "down-up-scaling": lambda im, g: rescale_by(im, parameter("rescale", g)),
    "contrast loss": lambda im, g: ImageEnhance.Contrast(im).enhance(parameter("contrast", g)),
}
MILD = {"blur": 0.3, "noise": 0.3, "jpeg": 0.5, "down-up-scaling": 0.3, "contrast loss": 0.5}
# Other wordings: pyiqa's five pairs first, each with what should move it.
PARAPHRASES: dict[tuple[str, str], str] = {
    ("Sharp image", "blurry image"): "blur",
    ("sharp edges", "blurry edges"): "blur",
    ("High resolution image", "low resolution image"): "blur",
    ("Noise-free image", "noisy image"): "noise",
    ("Crisp photo.", "Hazy photo."): "blur",
    ("A photo with high brightness.", "A photo with low brightness."): "brightness",
    ("Vivid picture", "Colorless picture"): "colour",
    ("A contrasty image.", "A washed out image."): "contrast",
}
QUALITY_PARAPHRASES = (("Good image", "bad image"), ("High quality photo.", "Low quality photo."),
                       ("A photo with good quality.", "A photo with bad quality."))  # fmt: skip


def add_noise(image: Image.Image, sigma: float) -> Image.Image:
    """Gaussian noise per channel, `sigma` of 255; the same grain for the same image size."""
    pixels = np.asarray(image, dtype=np.float32)
    grain = np.random.default_rng(0).standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + sigma * grain), 0, 255).astype(np.uint8))


def to_side(image: Image.Image, side: int) -> Image.Image | None:
    """The photo with this long side, or None where it would have to be enlarged."""
    factor = side / max(image.size)
    if factor > 1:
        return None
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def resized(photos: Photos, side: int) -> Photos:
    """All photos that are large enough, at this long side."""
    small = {name: to_side(photo, side) for name, photo in photos.items()}
    return {name: photo for name, photo in small.items() if photo is not None}


class Statistics:
    """Statistics of images by their content, kept in a folder: the tower is frozen, so they hold for every head."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, image: Image.Image, local: bool = False) -> torch.Tensor:
        """(1, S), or (1, H // 32, W // 32, S) of the cells."""
        pixels = np.asarray(image)
        key = hashlib.blake2b(pixels.tobytes() + str((pixels.shape, local)).encode(), digest_size=16).hexdigest()
        path = self.folder / f"{key}.npy"
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as file:
                np.save(file, compute(image, local).half().numpy())
            part.replace(path)
        return torch.from_numpy(np.load(path).astype(np.float32))


class Scorer:
    """Scores PIL images with one model and fixed prompt pairs."""

    def __init__(self, model: Mini, pairs: Sequence[tuple[str, str]] = CANONICAL) -> None:
        self.model = model
        with torch.inference_mode():
            self.question = model.questions(list(pairs))

    @torch.inference_mode()
    def __call__(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Images -> (N, pairs)."""
        features = torch.cat([self.model.embed(self.model.statistics(image)) for image in images])
        return (features @ self.question).double().sigmoid().numpy()

    @torch.inference_mode()
    def cells(self, image: Image.Image) -> np.ndarray:
        """Image -> (H // 32, W // 32, pairs): logits of each cell."""
        return (self.model.embed(self.model.statistics(image, local=True))[0] @ self.question).numpy()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; 0 where one of the two never moves, because it orders nothing."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def attributes(model: Mini, photos: Photos) -> dict[str, dict]:
    """Spearman of score against step, per photo, for every change of Fig. 4. A photo without colour has no colour
    steps and is left out of that one."""
    scorer, report = Scorer(model), {}
    for change, (axis, apply, steps) in ATTRIBUTES.items():
        column, values = AXES.index(axis), {}
        for name, photo in photos.items():
            if change == "colour" and not is_coloured(photo):
                continue
            scores = scorer(apply(photo, value) for value in steps)[:, column]
            values[name] = rank_correlation(scores, np.arange(len(steps)))
        if not values:
            continue
        worst = sorted(values, key=values.__getitem__)[:3]
        report[change] = {
            "axis": axis,
            "photos": len(values),
            "mean": float(np.mean(list(values.values()))),
            "min": min(values.values()),
            "worst": {name: round(values[name], 3) for name in worst},
        }
    return report


def is_coloured(photo: Image.Image) -> bool:
    """Whether some pixels differ between channels by more than JPEG's rounding."""
    pixels = np.asarray(photo.resize((64, 64), Image.Resampling.BOX), dtype=int)
    return bool(np.ptp(pixels, axis=-1).mean() > 6)


def quality(model: Mini, photos: Photos) -> dict:
    """The untouched photo against each distorted version (share of wins, clear and mild grades apart), and SROCC of
    score against grade over all contents; per kind and over all kinds."""
    scorer = Scorer(model, CANONICAL[:1])
    scores = np.empty((len(photos), len(KINDS), len(GRADES)))
    for i, photo in enumerate(photos.values()):
        scores[i, :, 0] = scorer([photo])[0, 0]
        for j, apply in enumerate(KINDS.values()):
            scores[i, j, 1:] = scorer(apply(photo, grade) for grade in GRADES[1:])[:, 0]
    won = scores[:, :, :1] > scores[:, :, 1:]  # (photos, kinds, grades from 0.2)
    mild = np.array([[grade < MILD[kind] for grade in GRADES[1:]] for kind in KINDS])
    kinds = {kind: _figures(scores[:, [j]], won[:, [j]], mild[[j]]) for j, kind in enumerate(KINDS)}
    names, labels = list(photos), list(KINDS)
    return {
        "kinds": {**kinds, "all": _figures(scores, won, mild)},
        "score at 10, 50, 90 % by grade": {
            str(grade): np.percentile(scores[..., k], (10, 50, 90)).round(3).tolist() for k, grade in enumerate(GRADES)
        },
        "lost": [
            f"{labels[j]} {GRADES[k + 1]} {names[i]} {scores[i, j, 0]:.3f} <= {scores[i, j, k + 1]:.3f}"
            for i, j, k in np.argwhere(~won & ~mild)
        ],
    }


def _figures(scores: np.ndarray, won: np.ndarray, mild: np.ndarray) -> dict[str, float]:
    levels = np.broadcast_to(GRADES, scores.shape)
    return {
        "pairs": won[:, ~mild].size,
        "won": float(won[:, ~mild].mean()),
        "mild pairs": won[:, mild].size,
        "mild won": float(won[:, mild].mean()),
        "won with mild": float(won.mean()),
        "srocc": -rank_correlation(levels.ravel(), scores.ravel()),
    }


def invariance(model: Mini, photos: Photos) -> dict[str, dict]:
    """How far `quality` moves under a flip and under x 0.75 and x 1.33, for photos and for distorted ones."""
    scorer = Scorer(model, CANONICAL[:1])
    states: dict[str, Callable[[Image.Image], Image.Image]] = {
        "untouched": lambda im: im,
        "jpeg 20": lambda im: jpeg_quality(im, 20),
        "blur 1.2": lambda im: KINDS["blur"](im, 0.4),
        "noise 22": lambda im: KINDS["noise"](im, 0.6),
    }
    report: dict[str, dict] = {}
    for state, prepare in states.items():
        moves: dict[str, list[float]] = {"flip": [], "x 0.75": [], "x 1.33": []}
        for photo in photos.values():
            image = prepare(photo)
            versions = [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
            for factor in (0.75, 1.33):
                size = (round(image.width * factor), round(image.height * factor))
                versions.append(image.resize(size, Image.Resampling.BICUBIC))
            start, *others = scorer(versions)[:, 0]
            for move, score in zip(moves, others, strict=True):
                moves[move].append(abs(score - start))
        report[state] = {
            move: {"mean": float(np.mean(values)), "max": float(np.max(values)),
                   "below 0.05": float(np.mean(np.array(values) < 0.05))}
            for move, values in moves.items()
        }  # fmt: skip
    return report


def paraphrases(model: Mini, photos: Photos) -> dict[str, float]:
    """Mean Spearman for other wordings: of an attribute against its steps, of quality against grade."""
    report: dict[str, float] = {}
    for change in dict.fromkeys(PARAPHRASES.values()):
        pairs = [pair for pair, moved_by in PARAPHRASES.items() if moved_by == change]
        (_, apply, steps), scorer = ATTRIBUTES[change], Scorer(model, pairs)
        subjects = [photo for photo in photos.values() if change != "colour" or is_coloured(photo)]
        scores = [scorer(apply(photo, value) for value in steps) for photo in subjects]
        if subjects:
            report |= _mean_spearman(scores, pairs, change)
    scorer = Scorer(model, QUALITY_PARAPHRASES)
    for kind in ("blur", "noise", "jpeg"):
        scores = [scorer(KINDS[kind](photo, grade) for grade in reversed(GRADES)) for photo in photos.values()]
        report |= _mean_spearman(scores, QUALITY_PARAPHRASES, kind)
    return report


def _mean_spearman(scores: list[np.ndarray], pairs: Sequence[tuple[str, str]], change: str) -> dict[str, float]:
    order = np.arange(len(scores[0]))
    return {
        f"{' / '.join(pair)} ({change})": float(np.mean([rank_correlation(row[:, i], order) for row in scores]))
        for i, pair in enumerate(pairs)
    }


LOCAL = {
    "blur 3 px": ("sharpness", lambda im: im.filter(ImageFilter.GaussianBlur(3))),
    "noise 20": ("noisiness", lambda im: add_noise(im, 20)),
    "brightness x 0.4": ("brightness", lambda im: ImageEnhance.Brightness(im).enhance(0.4)),
    "JPEG 10": ("quality", lambda im: jpeg_quality(im, 10)),
}


def local(model: Mini, photos: Photos) -> dict[str, dict[str, float]]:
    """Half of each photo changed, left or right in turn: area under the curve of the cells in and out of the changed
    half, by the axis that should tell; mean over photos. `clear`: cells whose surroundings do not reach over the
    border; `all`: each by its centre."""
    scorer, report = Scorer(model), {}
    for name, (axis, change) in LOCAL.items():
        areas = []
        for i, photo in enumerate(photos.values()):
            changed, middle = np.array(photo), photo.width // 2
            half = slice(None, middle) if i % 2 else slice(middle, None)
            changed[:, half] = np.asarray(change(photo))[:, half]
            found = scorer.cells(Image.fromarray(changed))[..., AXES.index(axis)]
            centres = np.arange(found.shape[1]) * 32 + 16
            inside, clear = (centres < middle) if i % 2 else (centres >= middle), np.abs(centres - middle) >= 48
            areas.append([area(found[:, inside & kept].ravel(), found[:, ~inside & kept].ravel())
                          for kept in (clear, np.ones_like(clear))])  # fmt: skip
        report[name] = dict(zip(("clear", "all"), np.mean(areas, 0).tolist(), strict=True))
    return report


def camera_noise(model: Mini, folder: Path) -> dict[str, float]:
    """How often the clean one of real pairs (`clean` and `noisy`, same names) scores above the noisy one."""
    scorer = Scorer(model)
    won = []
    for path in sorted((folder / "clean").iterdir()):
        with Image.open(path) as clean, Image.open(folder / "noisy" / path.name) as noisy:
            scores = scorer([clean.convert("RGB"), noisy.convert("RGB")])
        won.append(scores[0] > scores[1])
    shares = np.mean(won, 0)
    return {axis: float(shares[AXES.index(axis)]) for axis in ("noisiness", "quality", "sharpness")} | {
        "pairs": len(won)
    }


def opinions(model: Mini, rated: Rated) -> np.ndarray:
    """`quality` of rated photos, as it comes."""
    scorer = Scorer(model, CANONICAL[:1])
    return scorer(rated.photo(i) for i in range(len(rated.names)))[:, 0]


def calibration(model: Mini, folder: Path) -> dict[str, dict[str, float]]:
    """`quality` of pyiqa's calibration images and of their references (folders `dist` and `ref`, same order)."""
    scorer, report = Scorer(model, CANONICAL[:1]), {}
    references = {path.stem.lower().split("_")[0]: path for path in sorted((folder / "ref").iterdir())}
    for path in sorted((folder / "dist").iterdir()):
        reference = references[path.stem.lower().split("_")[0]]
        with Image.open(path) as distorted, Image.open(reference) as clean:
            scores = scorer([distorted.convert("RGB"), clean.convert("RGB")])[:, 0]
        report[path.name] = {"distorted": float(scores[0]), "reference": float(scores[1])}
    return report
