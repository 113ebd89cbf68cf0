"""Versions of the bundled photos whose order is known, small enough to be scored in milliseconds."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

BUNDLED = sorted((Path(__file__).parents[1] / "data").glob("*.jpg"))
SIDE = 160


def photos() -> dict[str, Image.Image]:
    """Name -> the bundled photos, shrunk."""
    found = {}
    for path in BUNDLED:
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        found[path.stem] = photo
    return found


def save_blurred(folder: Path, radius: float) -> Path:
    """The photos blurred by that many pixels; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo in photos().items():
        photo.filter(ImageFilter.GaussianBlur(radius)).save(folder / f"{name}.png")
    return folder


def save_exposures(folder: Path, factors: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5)) -> dict[str, list[Path]]:
    """Photo -> its files from the darkest to the brightest."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, list[Path]] = {}
    for name, photo in photos().items():
        for factor in factors:
            path = folder / f"{name}-{factor:g}.png"
            ImageEnhance.Brightness(photo).enhance(factor).save(path)
            made.setdefault(name, []).append(path)
    return made


def save_grey(path: Path, level: int, size: tuple[int, int] = (48, 40)) -> Path:
    """A uniformly grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level,) * 3).save(path)
    return path


def save_corrupt(path: Path) -> Path:
    """Half of a PNG."""
    save_grey(path, 77, (64, 64))
    path.write_bytes(path.read_bytes()[:60])
    return path
